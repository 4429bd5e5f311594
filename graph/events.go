package graph

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/record"
)

type eventNode struct{ e events.Event }

func (n *eventNode) ID() graphql.ID              { return graphql.ID(n.e.ID) }
func (n *eventNode) Type() string                { return n.e.Envelope().Type }
func (n *eventNode) Position() string            { return position(n.e.Position) }
func (n *eventNode) Time() graphql.Time          { return graphql.Time{Time: n.e.Time} }
func (n *eventNode) OrganizationID() *graphql.ID { return optionalID(n.e.OrganizationID) }
func (n *eventNode) DirectoryID() *graphql.ID    { return optionalID(n.e.DirectoryID) }
func (n *eventNode) ResourceType() *string       { return optional(n.e.ResourceType) }
func (n *eventNode) ResourceID() *graphql.ID     { return optionalID(n.e.ResourceID) }
func (n *eventNode) ScimClient() *string         { return optional(n.e.ScimClient) }
func (n *eventNode) IdentityActive() *bool       { return n.e.IdentityActive }
func (n *eventNode) Data() *jsonValue            { return optionalJSON(n.e.Data) }

func (n *eventNode) Seq() *string {
	if n.e.Seq == 0 {
		return nil
	}
	text := position(n.e.Seq)
	return &text
}

// position is a number as text: GraphQL's integers have 32 bits.
func position(n int64) string { return strconv.FormatInt(n, 10) }

func readPosition(field, text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fault.At(field, "invalid", "Give the position of an event.")
	}
	return int64(n), nil
}

func optionalID(id string) *graphql.ID { return (*graphql.ID)(optional(id)) }

type eventPage struct {
	Nodes       []*eventNode
	Next        string
	HasNextPage bool
}

func (n *projectNode) Events(ctx context.Context, args struct {
	pageArgs
	OrganizationID, DirectoryID *graphql.ID
	Types                       *[]string
}) (*eventPage, error) {
	limit, after, err := args.read()
	if err != nil {
		return nil, err
	}
	q := events.Query{Scope: scope(n.p.ID, args.OrganizationID, args.DirectoryID), Limit: limit}
	if after != "" {
		if q.After, err = readPosition("after", after); err != nil {
			return nil, err
		}
	}
	if args.Types != nil {
		q.Types = *args.Types
	}
	if err := events.ValidTypes("types", q.Types); err != nil {
		return nil, err
	}
	feed, err := n.r.Services.Events.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	p := &eventPage{Nodes: make([]*eventNode, len(feed.Events)), Next: position(feed.Next), HasNextPage: feed.More}
	for i, e := range feed.Events {
		p.Nodes[i] = &eventNode{e}
	}
	return p, nil
}

func scope(projectID string, organizationID, directoryID *graphql.ID) events.Scope {
	s := events.Scope{ProjectID: projectID}
	if organizationID != nil {
		s.OrganizationID = string(*organizationID)
	}
	if directoryID != nil {
		s.DirectoryID = string(*directoryID)
	}
	return s
}

type webhookEndpointNode struct {
	r *resolver
	e events.Endpoint
}

func (n *webhookEndpointNode) ID() graphql.ID              { return graphql.ID(n.e.ID) }
func (n *webhookEndpointNode) OrganizationID() *graphql.ID { return optionalID(n.e.OrganizationID) }
func (n *webhookEndpointNode) DirectoryID() *graphql.ID    { return optionalID(n.e.DirectoryID) }
func (n *webhookEndpointNode) URL() string                 { return n.e.URL }
func (n *webhookEndpointNode) Description() string         { return n.e.Description }
func (n *webhookEndpointNode) Format() string              { return strings.ToUpper(string(n.e.Format)) }
func (n *webhookEndpointNode) Types() []string             { return list(n.e.Types) }
func (n *webhookEndpointNode) BatchSize() int32            { return int32(n.e.BatchSize) }
func (n *webhookEndpointNode) Active() bool                { return n.e.Active }
func (n *webhookEndpointNode) CreatedAt() graphql.Time     { return graphql.Time{Time: n.e.CreatedAt} }
func (n *webhookEndpointNode) UpdatedAt() graphql.Time     { return graphql.Time{Time: n.e.UpdatedAt} }

func (n *webhookEndpointNode) SigningKeys() int32 { return int32(n.r.Services.Events.LiveSecrets(n.e)) }

func (n *webhookEndpointNode) DeactivatedReason() *string {
	return optional(strings.ToUpper(string(n.e.Reason)))
}

func (n *webhookEndpointNode) Project(ctx context.Context) (*projectNode, error) {
	return n.r.loadProject(ctx, n.e.ProjectID)
}

func (n *webhookEndpointNode) FailingSince(ctx context.Context) (*graphql.Time, error) {
	since, err := n.r.Services.Events.FailingSince(ctx, n.e.ID)
	return optionalTime(since), err
}

func (n *webhookEndpointNode) Deliveries(ctx context.Context, args pageArgs) (*page[*webhookDeliveryNode], error) {
	return newPageOf(args,
		func(limit int, after string) (record.Page[events.Delivery], error) {
			return n.r.Services.Events.Deliveries(ctx, n.e.ID, limit, after)
		},
		func(list []events.Delivery) []*webhookDeliveryNode { return n.r.deliveries(ctx, list...) },
		func(ctx context.Context) (int64, error) { return n.r.Services.Events.CountDeliveries(ctx, n.e.ID) })
}

func (n *webhookEndpointNode) DeadLetters(ctx context.Context, args pageArgs) (*page[*webhookDeliveryNode], error) {
	return newPageOf(args,
		func(limit int, after string) (record.Page[events.Delivery], error) {
			return n.r.Services.Events.DeadLetters(ctx, n.e.ID, limit, after)
		},
		func(list []events.Delivery) []*webhookDeliveryNode { return n.r.deliveries(ctx, list...) },
		func(ctx context.Context) (int64, error) { return n.r.Services.Events.CountDeadLetters(ctx, n.e.ID) })
}

func (n *projectNode) WebhookEndpoints(ctx context.Context, args pageArgs) (*page[*webhookEndpointNode], error) {
	return n.r.endpoints(ctx, events.Scope{ProjectID: n.p.ID}, args)
}

func (n *organizationNode) WebhookEndpoints(ctx context.Context, args pageArgs) (*page[*webhookEndpointNode], error) {
	return n.r.endpoints(ctx, events.Scope{ProjectID: n.o.ProjectID, OrganizationID: n.o.ID}, args)
}

func (n *directoryNode) WebhookEndpoints(ctx context.Context, args pageArgs) (*page[*webhookEndpointNode], error) {
	return n.r.endpoints(ctx, events.Scope{ProjectID: n.d.ProjectID, DirectoryID: n.d.ID}, args)
}

func (r *resolver) endpoints(ctx context.Context, s events.Scope, args pageArgs) (*page[*webhookEndpointNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[events.Endpoint], error) {
			return r.Services.Events.Endpoints(ctx, s, limit, after)
		},
		func(e events.Endpoint) *webhookEndpointNode { return &webhookEndpointNode{r, e} },
		func(ctx context.Context) (int64, error) { return r.Services.Events.CountEndpoints(ctx, s) })
}

func (r *resolver) WebhookEndpoint(ctx context.Context, args onlyID) (*webhookEndpointNode, error) {
	e, err := r.Services.Events.Endpoint(ctx, string(args.ID))
	return orNull(&webhookEndpointNode{r, e}, err)
}

// installationWebhookNode is the endpoint that the configuration names.
type installationWebhookNode struct{ *webhookEndpointNode }

func (r *resolver) InstallationWebhook() *installationWebhookNode {
	e, ok := r.Services.Events.InstallationEndpoint()
	if !ok {
		return nil
	}
	return &installationWebhookNode{&webhookEndpointNode{r, e}}
}

type webhookDeliveryNode struct {
	d      events.Delivery
	events batch[events.Event] // of the page
}

// deliveries are the nodes of some deliveries. Their events are read at once.
func (r *resolver) deliveries(ctx context.Context, list ...events.Delivery) []*webhookDeliveryNode {
	told := newBatch(func() ([]events.Event, error) { return r.Services.Events.EventsOf(ctx, list...) },
		func(e events.Event) string { return e.ID })
	nodes := make([]*webhookDeliveryNode, len(list))
	for i, d := range list {
		nodes[i] = &webhookDeliveryNode{d, told}
	}
	return nodes
}

func (n *webhookDeliveryNode) ID() graphql.ID               { return graphql.ID(n.d.ID) }
func (n *webhookDeliveryNode) EndpointID() graphql.ID       { return graphql.ID(n.d.EndpointID) }
func (n *webhookDeliveryNode) ProjectID() graphql.ID        { return graphql.ID(n.d.ProjectID) }
func (n *webhookDeliveryNode) EventID() graphql.ID          { return graphql.ID(n.d.EventID) }
func (n *webhookDeliveryNode) EventType() string            { return n.d.EventType }
func (n *webhookDeliveryNode) Position() string             { return position(n.d.Position) }
func (n *webhookDeliveryNode) Status() string               { return strings.ToUpper(string(n.d.Status)) }
func (n *webhookDeliveryNode) Held() bool                   { return n.d.Status == events.Pending && n.d.Held }
func (n *webhookDeliveryNode) Attempts() int32              { return int32(n.d.Attempts) }
func (n *webhookDeliveryNode) Error() *string               { return optional(n.d.Error) }
func (n *webhookDeliveryNode) CreatedAt() graphql.Time      { return graphql.Time{Time: n.d.CreatedAt} }
func (n *webhookDeliveryNode) LastAttemptAt() *graphql.Time { return optionalTime(n.d.TriedAt) }

func (n *webhookDeliveryNode) NextAttemptAt() *graphql.Time {
	if n.d.Status != events.Pending || n.d.Held {
		return nil
	}
	return optionalTime(n.d.DueAt)
}

func (n *webhookDeliveryNode) ResponseStatus() *int32 {
	if n.d.Code == 0 {
		return nil
	}
	code := int32(n.d.Code)
	return &code
}

func (n *webhookDeliveryNode) DurationMs() *int32 {
	if n.d.TriedAt.IsZero() {
		return nil
	}
	took := int32(min(n.d.Took.Milliseconds(), math.MaxInt32))
	return &took
}

func (n *webhookDeliveryNode) Event() (*eventNode, error) {
	e, ok, err := n.events(n.d.EventID)
	if err != nil || !ok {
		return nil, err
	}
	return &eventNode{e}, nil
}

func (r *resolver) WebhookDelivery(ctx context.Context, args onlyID) (*webhookDeliveryNode, error) {
	d, err := r.Services.Events.Delivery(ctx, string(args.ID))
	return orNull(r.deliveries(ctx, d)[0], err)
}

// webhookEndpointPayload serves the mutations that show a secret and those that do not.
type webhookEndpointPayload struct {
	Endpoint *webhookEndpointNode
	Secret   *string
	Errors   []userError
}

func (r *resolver) webhookEndpointPayload(subject string, e events.Endpoint, show bool, err error) (*webhookEndpointPayload, error) {
	list, err := userErrors(err, subject)
	if err != nil || len(list) > 0 {
		return &webhookEndpointPayload{Errors: list}, err
	}
	p := &webhookEndpointPayload{Endpoint: &webhookEndpointNode{r, e}, Errors: list}
	if show {
		p.Secret = &e.Secrets[len(e.Secrets)-1].Value
	}
	return p, nil
}

// webhookSettings are what creating and updating an endpoint have in common.
type webhookSettings struct {
	Description *string
	Format      *string
	Types       *[]string
	BatchSize   *int32
	Active      *bool
}

func (s webhookSettings) input() events.Input {
	in := events.Input{Description: s.Description, Types: s.Types, Active: s.Active}
	if s.Format != nil {
		format := events.Format(strings.ToLower(*s.Format))
		in.Format = &format
	}
	if s.BatchSize != nil {
		size := int(*s.BatchSize)
		in.BatchSize = &size
	}
	return in
}

func (r *resolver) CreateWebhookEndpoint(ctx context.Context, args struct {
	Input struct {
		ProjectID                   graphql.ID
		OrganizationID, DirectoryID *graphql.ID
		URL                         string
		Secret                      *string
		webhookSettings
	}
}) (*webhookEndpointPayload, error) {
	forget(ctx)
	given := args.Input
	in := given.input()
	in.URL, in.Secret = &given.URL, given.Secret
	of := scope(string(given.ProjectID), given.OrganizationID, given.DirectoryID)
	if err := r.checkScope(ctx, of); err != nil {
		return r.webhookEndpointPayload("projectId", events.Endpoint{}, false, err)
	}
	e, err := r.Services.Events.CreateEndpoint(ctx, of, in)
	return r.webhookEndpointPayload("projectId", e, true, err)
}

// checkScope refuses an organization or a directory that is not in the rest of the scope.
func (r *resolver) checkScope(ctx context.Context, s events.Scope) error {
	if _, err := r.loadProject(ctx, s.ProjectID); err != nil {
		return err
	}
	if s.OrganizationID != "" {
		o, err := r.loadOrganization(ctx, s.OrganizationID)
		if err := inside("organizationId", "No such organization of the project.", err, err == nil && o.o.ProjectID == s.ProjectID); err != nil {
			return err
		}
	}
	if s.DirectoryID != "" {
		d, err := r.Directories.Directory(ctx, s.DirectoryID)
		within := err == nil && d.ProjectID == s.ProjectID && (s.OrganizationID == "" || s.OrganizationID == d.OrganizationID)
		return inside("directoryId", "No such directory of the project, or of the organization.", err, within)
	}
	return nil
}

// inside is the fault that a thing, which was read with err, is not there or not within what was named beside it.
func inside(field, message string, err error, within bool) error {
	if err == nil && !within || fault.Is(err, fault.NotFound) {
		return &fault.Error{Kind: fault.NotFound, Code: "not_found", Message: message, Field: field, Err: err}
	}
	return err
}

func (r *resolver) UpdateWebhookEndpoint(ctx context.Context, args struct {
	Input struct {
		ID  graphql.ID
		URL *string
		webhookSettings
	}
}) (*webhookEndpointPayload, error) {
	forget(ctx)
	in := args.Input.input()
	in.URL = args.Input.URL
	e, err := r.Services.Events.UpdateEndpoint(ctx, string(args.Input.ID), in)
	return r.webhookEndpointPayload("id", e, false, err)
}

func (r *resolver) RotateWebhookSecret(ctx context.Context, args struct {
	Input struct {
		ID             graphql.ID
		OverlapSeconds *int32
		Secret         *string
	}
}) (*webhookEndpointPayload, error) {
	forget(ctx)
	var overlap time.Duration
	if seconds := args.Input.OverlapSeconds; seconds != nil {
		overlap = time.Duration(*seconds) * time.Second
	}
	e, err := r.Services.Events.RotateSecret(ctx, string(args.Input.ID), args.Input.Secret, overlap)
	return r.webhookEndpointPayload("id", e, true, err)
}

func (r *resolver) DeleteWebhookEndpoint(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.Services.Events.DeleteEndpoint(ctx, string(args.Input.ID)))
}

type replayDeliveryPayload struct {
	Delivery *webhookDeliveryNode
	Errors   []userError
}

func (r *resolver) ReplayWebhookDelivery(ctx context.Context, args struct{ Input onlyID }) (*replayDeliveryPayload, error) {
	forget(ctx)
	d, err := r.Services.Events.Replay(ctx, string(args.Input.ID))
	list, err := userErrors(err, "id")
	if err != nil || len(list) > 0 {
		return &replayDeliveryPayload{Errors: list}, err
	}
	return &replayDeliveryPayload{Delivery: r.deliveries(ctx, d)[0], Errors: list}, nil
}

type replayDeliveriesPayload struct {
	Accepted bool
	Errors   []userError
}

func (r *resolver) ReplayWebhookDeliveries(ctx context.Context, args struct {
	Input struct {
		EndpointID graphql.ID
		ProjectID  *graphql.ID
		From, To   string
		DeadOnly   *bool
	}
}) (*replayDeliveriesPayload, error) {
	forget(ctx)
	in := args.Input
	from, err := readPosition("from", in.From)
	to, wrong := readPosition("to", in.To)
	if err == nil {
		err = wrong
	}
	if err == nil {
		err = r.Services.Events.ReplayRange(ctx, string(in.EndpointID), text((*string)(in.ProjectID)), from, to, in.DeadOnly != nil && *in.DeadOnly)
	}
	list, err := userErrors(err, "endpointId")
	return &replayDeliveriesPayload{Accepted: err == nil && len(list) == 0, Errors: list}, err
}
