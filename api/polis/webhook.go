package polis

import (
	"cmp"
	"context"
	"slices"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
)

// webhook is where a directory's events are sent. Polis knows one for each directory, whose secret is shown again: here it is
// the oldest endpoint of the directory that takes events in Polis's format.
type webhook struct {
	Endpoint string `json:"endpoint"`
	Secret   string `json:"secret"`
}

// complete says whether it can be called. A half of it is kept and shown, and is told nothing.
func (w webhook) complete() bool { return w.Endpoint != "" && w.Secret != "" }

// changed is the webhook as a body has it: "webhook" with both, and "webhook_url" and "webhook_secret", which win.
func (w webhook) changed(p params) (webhook, error) {
	var endpoint, secret string
	inner, _ := p["webhook"].(map[string]any)
	for _, from := range []struct {
		fields           params
		endpoint, secret string
	}{{inner, "endpoint", "secret"}, {p, "webhook_url", "webhook_secret"}} {
		if err := from.fields.texts(map[string]*string{from.endpoint: &endpoint, from.secret: &secret}); err != nil {
			return webhook{}, err
		}
		if from.fields[from.endpoint] != nil {
			w.Endpoint = endpoint
		}
		if from.fields[from.secret] != nil {
			w.Secret = secret
		}
	}
	return w, nil
}

// input asks for what such an endpoint is told: what becomes of users and groups (§3.4), and not of the directory (§8).
func (h *handler) input(w webhook) events.Input {
	format := events.Polis
	types := []string{events.PolisUserCreated, events.PolisUserUpdated, events.PolisUserDeleted, events.PolisGroupCreated, events.PolisGroupUpdated,
		events.PolisGroupDeleted, events.PolisGroupUserAdded, events.PolisGroupUserRemoved}
	return events.Input{URL: &w.Endpoint, Secret: &w.Secret, Format: &format, Types: &types, BatchSize: &h.WebhookBatch}
}

// check refuses what could not be kept, before anything is made.
func (h *handler) check(w webhook) error {
	w.Endpoint, w.Secret = cmp.Or(w.Endpoint, "https://example.com"), cmp.Or(w.Secret, "-") // the other half may be fine
	_, _, err := h.Events.NewEndpoint(events.Scope{}, h.input(w))
	return ofWebhook(err)
}

// ofWebhook has a fault name the field of this API.
func ofWebhook(err error) error {
	f := fault.From(err)
	if err == nil || f.Kind != fault.Invalid {
		return err
	}
	return &fault.Error{Kind: fault.Invalid, Code: "invalid", Field: "webhook_" + f.Field, Message: "webhook_" + f.Field + ": " + f.Message, Err: err}
}

func scopeOf(d dirsync.Directory) events.Scope {
	return events.Scope{ProjectID: d.ProjectID, OrganizationID: d.OrganizationID, DirectoryID: d.ID}
}

// webhooks are a directory's endpoints that take events in Polis's format, oldest first.
func (h *handler) webhooks(ctx context.Context, d dirsync.Directory) ([]events.Endpoint, error) {
	list, err := h.Events.EndpointsOf(ctx, scopeOf(d))
	return slices.DeleteFunc(list, func(e events.Endpoint) bool { return e.Format != events.Polis }), err
}

func (h *handler) webhookOf(ctx context.Context, d dirsync.Directory) (webhook, error) {
	list, err := h.webhooks(ctx, d)
	if err != nil || len(list) == 0 {
		return webhook(d.Webhook), err
	}
	return webhookAt(list[0]), nil
}

func webhookAt(e events.Endpoint) webhook {
	w := webhook{Endpoint: e.URL}
	if n := len(e.Secrets); n > 0 {
		w.Secret = e.Secrets[n-1].Value
	}
	return w
}

// setWebhook makes w the webhook of a directory; one that is not complete removes it.
func (h *handler) setWebhook(ctx context.Context, d dirsync.Directory, w webhook) error {
	list, err := h.webhooks(ctx, d)
	if err != nil {
		return err
	}
	switch none := !w.complete(); {
	case len(list) == 0 && none:
	case len(list) == 0:
		_, err = h.Events.CreateEndpoint(ctx, scopeOf(d), h.input(w))
	case none:
		err = h.Events.DeleteEndpoint(ctx, list[0].ID)
	default:
		err = h.moveWebhook(ctx, list[0], w)
	}
	return ofWebhook(err)
}

// moveWebhook keeps the endpoint, and so what waits for it. It is active again where it was given up.
func (h *handler) moveWebhook(ctx context.Context, e events.Endpoint, w webhook) error {
	was := webhookAt(e)
	if w.Secret != was.Secret {
		if _, err := h.Events.SetSecret(ctx, e.ID, w.Secret); err != nil {
			return err
		}
	}
	if w.Endpoint == was.Endpoint && e.Active {
		return nil
	}
	active := true
	_, err := h.Events.UpdateEndpoint(ctx, e.ID, events.Input{URL: &w.Endpoint, Active: &active})
	return err
}

// changeWebhook is setWebhook of what a body of PATCH holds. It gives what the directory is to keep: the half
// of a webhook, or nil where that stays as it is.
func (h *handler) changeWebhook(ctx context.Context, d dirsync.Directory, p params) (*dirsync.Webhook, error) {
	was, err := h.webhookOf(ctx, d)
	if err != nil {
		return nil, err
	}
	w, err := was.changed(p)
	if err == nil {
		err = h.check(w)
	}
	if err == nil {
		err = h.setWebhook(ctx, d, w)
	}
	if w.complete() {
		w = webhook{}
	}
	if err != nil || w == webhook(d.Webhook) {
		return nil, err
	}
	return (*dirsync.Webhook)(&w), nil
}
