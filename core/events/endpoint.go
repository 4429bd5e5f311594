package events

import (
	"context"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Scope says whose events an endpoint is told: those of a project, of an organization or of a directory. ProjectID is always
// set; the others narrow.
type Scope struct {
	ProjectID      string `json:"projectId"`
	OrganizationID string `json:"organizationId,omitempty"`
	DirectoryID    string `json:"directoryId,omitempty"`
}

// key names the scope by what is narrowest in it.
func (s Scope) key() string {
	index, value := s.index()
	return index + "/" + value
}

// Format is how a payload looks.
type Format string

// The formats of payloads.
const (
	Standard Format = "standard" // see docs/events.md
	Polis    Format = "polis"    // contract §3.4
)

// Endpoint is where events are sent.
type Endpoint struct {
	ID string `json:"id"`
	Scope
	URL         string    `json:"url"`
	Description string    `json:"description,omitempty"`
	Format      Format    `json:"format"`
	Types       []string  `json:"types,omitempty"`     // of the events to send; none: all
	BatchSize   int       `json:"batchSize,omitempty"` // 0: one event, as an object; else a JSON array of up to so many
	Active      bool      `json:"active"`
	Reason      Reason    `json:"reason,omitempty"` // why Portico itself deactivated it
	Secrets     []Secret  `json:"secrets"`          // oldest first, at most two that live
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`

	Version int64 `json:"-"`
}

// Reason is why an endpoint was deactivated without being asked to.
type Reason string

// The reasons.
const (
	Gone    Reason = "gone"    // it answered 410
	Failing Reason = "failing" // it took nothing for days
)

// Secret is one of an endpoint's secrets. Expires is set on the one that another has taken the place of.
type Secret struct {
	Value   string    `json:"value"`
	Expires time.Time `json:"expires,omitzero"`
}

// Input is what a caller may choose of an endpoint. In an update a nil field stays as it is.
type Input struct {
	URL         *string
	Description *string
	Format      *Format // standard where it is nil at creation
	Types       *[]string
	BatchSize   *int
	Active      *bool   // true where it is nil at creation
	Secret      *string // only at creation; nil for one that is made
}

const (
	endpoints = "webhook_endpoints"
	byScope   = "by_scope"

	maxEndpoints = 20 // of one scope
	maxURL       = 2048
	secretBytes  = 32

	// MaxBatch is the largest batch of events.
	MaxBatch = 500

	// Installation is the id of the endpoint of the whole installation, which the configuration names.
	Installation = "installation"
)

var endpointCollection = store.Collection{Name: endpoints, Sealed: true, Keys: record.Keys(endpointHead), Indexes: []store.Index{
	{Name: byScope, Fields: []string{"scope"}},
	{Name: byProject, Fields: []string{"project"}},
}}

func endpointHead(e Endpoint) store.Doc {
	return store.Doc{ID: e.ID, Version: e.Version, Keys: map[string]string{"scope": e.Scope.key(), "project": e.ProjectID}}
}

// CreateEndpoint makes an endpoint of a scope, whose parts the caller knows to exist. Its secret is in Secrets. Faults:
// Invalid, TooMany.
func (s *Service) CreateEndpoint(ctx context.Context, scope Scope, in Input) (Endpoint, error) {
	e, insert, err := s.NewEndpoint(scope, in)
	if err != nil {
		return Endpoint{}, err
	}
	n, err := s.endpoints.Count(ctx, store.Range{Index: byScope, Eq: []string{scope.key()}})
	if err != nil {
		return Endpoint{}, err
	}
	if n >= maxEndpoints {
		return Endpoint{}, fault.At("url", "too_many", "There are 20 endpoints already. Delete one first.")
	}
	err = s.endpoints.Once(ctx, &insert, func() error { return s.Records.Commit(ctx, insert) })
	s.byScope.Clear()
	e.Version = 1
	return e, s.endpoints.Fault(err)
}

// NewEndpoint is CreateEndpoint for a caller who commits it together with something else. Faults: Invalid.
func (s *Service) NewEndpoint(scope Scope, in Input) (Endpoint, store.Op, error) {
	now := s.now()
	e := Endpoint{ID: s.IDs.UUID(), Scope: scope, Format: Standard, Active: true, CreatedAt: now}
	chosen := s.newSecret()
	if in.Secret != nil {
		chosen = *in.Secret
	}
	if err := ValidSecret(chosen); err != nil {
		return Endpoint{}, store.Op{}, err
	}
	e.Secrets = []Secret{{Value: chosen}}
	if in.URL == nil {
		return Endpoint{}, store.Op{}, fault.At("url", "required", "Give the address to send events to.")
	}
	if err := in.apply(&e, now); err != nil {
		return Endpoint{}, store.Op{}, err
	}
	return e, s.endpoints.Insert(e), nil
}

// newSecret is one that libraries of Standard Webhooks read.
func (s *Service) newSecret() string {
	return whsec + base64.StdEncoding.EncodeToString(s.IDs.Bytes(secretBytes))
}

func (in Input) apply(e *Endpoint, now time.Time) error {
	if in.URL != nil {
		e.URL = *in.URL
	}
	if in.Description != nil {
		e.Description = strings.TrimSpace(*in.Description)
	}
	if in.Format != nil {
		e.Format = *in.Format
	}
	if in.Types != nil {
		e.Types = slices.Clone(*in.Types)
	}
	if in.BatchSize != nil {
		e.BatchSize = *in.BatchSize
	}
	if in.Active != nil {
		e.Active, e.Reason = *in.Active, ""
	}
	e.UpdatedAt = now
	return validEndpoint(*e)
}

func validEndpoint(e Endpoint) error {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || len(e.URL) > maxURL:
		return fault.At("url", "invalid", "Give an absolute https URL of at most 2048 bytes, without user name and fragment.")
	case len(e.Description) > 512:
		return fault.At("description", "too_long", "A description has at most 512 bytes.")
	case e.Format != Standard && e.Format != Polis:
		return fault.At("format", "invalid", "The format is standard or polis.")
	case e.BatchSize < 0 || e.BatchSize > MaxBatch:
		return fault.At("batchSize", "invalid", "A batch has 1 to 500 events; 0 sends each by itself.")
	}
	return ValidTypes("types", e.Types)
}

// ValidSecret refuses what cannot be a secret of an endpoint. Faults: Invalid at secret.
func ValidSecret(text string) error {
	if text == "" || len(text) > 256 || strings.ContainsAny(text, "\x00\r\n") {
		return fault.At("secret", "invalid", "A secret has 1 to 256 bytes, in one line.")
	}
	if encoded, ok := strings.CutPrefix(text, whsec); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(key) == 0 {
			return fault.At("secret", "invalid", "Behind whsec_ a secret is base64.")
		}
	}
	return nil
}

// Endpoint reads an endpoint.
func (s *Service) Endpoint(ctx context.Context, endpointID string) (Endpoint, error) {
	return s.endpoints.Get(ctx, endpointID)
}

// Endpoints reads one page of endpoints, newest first: of a project those of its organizations and directories too, of an
// organization or a directory its own.
func (s *Service) Endpoints(ctx context.Context, scope Scope, limit int, after string) (record.Page[Endpoint], error) {
	q := scope.endpoints()
	q.Desc, q.Limit, q.After = true, limit, after
	return s.endpoints.List(ctx, q)
}

// CountEndpoints counts them.
func (s *Service) CountEndpoints(ctx context.Context, scope Scope) (int64, error) {
	return s.endpoints.Count(ctx, scope.endpoints())
}

func (s Scope) endpoints() store.Range {
	if s == (Scope{ProjectID: s.ProjectID}) {
		return store.Range{Index: byProject, Eq: []string{s.ProjectID}}
	}
	return store.Range{Index: byScope, Eq: []string{s.key()}}
}

// EndpointsOf reads the endpoints of exactly this scope, oldest first: at most 20.
func (s *Service) EndpointsOf(ctx context.Context, scope Scope) ([]Endpoint, error) {
	return s.endpoints.Range(ctx, store.Range{Index: byScope, Eq: []string{scope.key()}})
}

// UpdateEndpoint changes an endpoint. One that is activated gets what has waited for it. Faults: NotFound, Invalid.
func (s *Service) UpdateEndpoint(ctx context.Context, endpointID string, in Input) (Endpoint, error) {
	e, err := s.endpoints.Change(ctx, endpointID, func(e *Endpoint) error { return in.apply(e, s.now()) })
	s.byScope.Clear()
	if err != nil {
		return Endpoint{}, err
	}
	if in.URL != nil || in.Active != nil && *in.Active {
		if err := s.resume(ctx, endpointID); err != nil {
			return Endpoint{}, err
		}
	}
	return e, nil
}

// DeleteEndpoint removes an endpoint; what waits for it is never sent. Faults: NotFound.
func (s *Service) DeleteEndpoint(ctx context.Context, endpointID string) error {
	defer s.byScope.Clear()
	return s.endpoints.RemoveWith(ctx, endpointID, func(Endpoint) ([]store.Op, error) {
		h, err := s.health(ctx, endpointID)
		if err != nil || h.version == 0 {
			return nil, err
		}
		return []store.Op{s.healths.Delete(h)}, nil
	})
}

// SetSecret makes a secret the only one of an endpoint: for an API that knows no rotation. Faults: NotFound, Invalid.
func (s *Service) SetSecret(ctx context.Context, endpointID, value string) (Endpoint, error) {
	return s.RotateSecret(ctx, endpointID, &value, 0)
}

// RotateSecret gives an endpoint a new secret, the given one or one that is made: the last of Secrets. The present one signs
// as well for the time of the overlap. Faults: NotFound, Invalid.
func (s *Service) RotateSecret(ctx context.Context, endpointID string, value *string, overlap time.Duration) (Endpoint, error) {
	chosen := s.newSecret()
	if value != nil {
		chosen = *value
	}
	if err := ValidSecret(chosen); err != nil {
		return Endpoint{}, err
	}
	if overlap < 0 || overlap > maxOverlap {
		return Endpoint{}, fault.At("overlapSeconds", "invalid", "Two secrets live for at most 30 days.")
	}
	e, err := s.endpoints.Change(ctx, endpointID, func(e *Endpoint) error {
		now := s.now()
		live := e.live(now)
		old := live[len(live)-1]
		e.Secrets, e.UpdatedAt = []Secret{{Value: chosen}}, now
		if overlap > 0 {
			old.Expires = now.Add(overlap)
			e.Secrets = []Secret{old, {Value: chosen}}
		}
		return nil
	})
	s.byScope.Clear()
	return e, err
}

const maxOverlap = 30 * 24 * time.Hour

// live are the secrets that sign at a time, oldest first: at least one, at most two.
func (e Endpoint) live(now time.Time) []Secret {
	return slices.DeleteFunc(slices.Clone(e.Secrets), func(s Secret) bool { return !s.Expires.IsZero() && !s.Expires.After(now) })
}

// wants says whether an endpoint is to be told of an event.
func (e Endpoint) wants(event Event) bool {
	if !e.Active || e.Format == Polis && (event.Polis == "" || event.Echo) || e.Format == Standard && event.Type == "" {
		return false
	}
	if e.ID == Installation {
		return event.ofInstallation()
	}
	if e.Format == Polis && event.ofInstallation() { // those bodies hold client secrets
		return false
	}
	return event.within(e.Scope) && event.oneOf(e.Types)
}

// ofInstallation says whether Polis tells of the event at the endpoint of the installation (contract §8), and nowhere else.
func (e Event) ofInstallation() bool {
	return strings.HasPrefix(e.Polis, "sso.") || strings.HasPrefix(e.Polis, "dsync.")
}

// endpointsFor finds who is to be told of an event.
func (s *Service) endpointsFor(ctx context.Context, e Event) (found []Endpoint, err error) {
	scopes := []Scope{{ProjectID: e.ProjectID}}
	if e.OrganizationID != "" {
		scopes = append(scopes, Scope{ProjectID: e.ProjectID, OrganizationID: e.OrganizationID})
	}
	if e.DirectoryID != "" {
		scopes = append(scopes, Scope{ProjectID: e.ProjectID, DirectoryID: e.DirectoryID})
	}
	for _, scope := range scopes {
		list, err := s.byScope.Get(scope.key(), func() ([]Endpoint, error) { return s.EndpointsOf(ctx, scope) })
		if err != nil {
			return nil, err
		}
		for _, endpoint := range list {
			if endpoint.wants(e) {
				found = append(found, endpoint)
			}
		}
	}
	if global, ok := s.InstallationEndpoint(); ok && global.wants(e) {
		found = append(found, global)
	}
	return found, nil
}

// InstallationEndpoint is the endpoint that the configuration names: ok says that it names one.
func (s *Service) InstallationEndpoint() (e Endpoint, ok bool) {
	return Endpoint{ID: Installation, URL: s.URL, Format: Polis, Active: true, Secrets: []Secret{{Value: string(s.Secret)}}}, s.URL != ""
}

// LiveSecrets is how many secrets of an endpoint sign now.
func (s *Service) LiveSecrets(e Endpoint) int { return len(e.live(s.now())) }
