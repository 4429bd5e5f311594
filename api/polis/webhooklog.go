package polis

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
)

// logged is one delivery of an event to a directory's webhook (§1.5).
type logged struct {
	ID              string          `json:"id"`
	Payload         json.RawMessage `json:"payload"` // null once the event is no longer kept
	WebhookEndpoint string          `json:"webhook_endpoint"`
	CreatedAt       string          `json:"created_at"`            // as JavaScript writes it
	StatusCode      int             `json:"status_code,omitempty"` // absent before the first attempt; 500 where there was no answer
	Delivered       bool            `json:"delivered"`
}

func loggedOf(e events.Endpoint, d events.Delivery, kept []events.Event) logged {
	out := logged{ID: logID(d.ID), WebhookEndpoint: e.URL, CreatedAt: d.CreatedAt.UTC().Format("2006-01-02T15:04:05.000Z"), Delivered: d.Status == events.Delivered}
	for _, event := range kept {
		if event.ID == d.EventID {
			out.Payload = e.Payload([]events.Event{event})
		}
	}
	switch {
	case d.Code != 0:
		out.StatusCode = d.Code
	case d.Attempts > 0:
		out.StatusCode = http.StatusInternalServerError
	}
	return out
}

// logID is a delivery's id as one segment of a path; deliveryID reads it.
func logID(deliveryID string) string { return strings.ReplaceAll(deliveryID, "/", "_") }

func deliveryID(logID string) string { return strings.ReplaceAll(logID, "_", "/") }

// log serves GET /api/v1/dsync/events: the newest directory's deliveries first, and of each the newest event first.
func (h *handler) log(r *http.Request, p params) (answer, error) {
	endpoints, err := h.logsOf(r.Context(), p)
	if err != nil {
		return answer{}, err
	}
	offset, limit := p.page()
	out, total := []logged{}, int64(0)
	for _, e := range endpoints {
		n, err := h.Events.CountDeliveries(r.Context(), e.ID)
		if err != nil {
			return answer{}, err
		}
		here := int64(offset) - total
		total += n
		if here >= n || len(out) == limit {
			continue
		}
		page, err := h.logPage(r.Context(), e, int(max(here, 0)), limit-len(out))
		if err != nil {
			return answer{}, err
		}
		out = append(out, page...)
	}
	return data(out).of(total), nil
}

// logsOf are the webhooks of the directories that a request is about.
func (h *handler) logsOf(ctx context.Context, p params) ([]events.Endpoint, error) {
	directories, err := h.scope(ctx, p)
	if err != nil {
		return nil, err
	}
	var found []events.Endpoint
	for _, d := range directories {
		list, err := h.webhooks(ctx, d)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	return found, nil
}

func (h *handler) logPage(ctx context.Context, e events.Endpoint, offset, limit int) ([]logged, error) {
	deliveries, err := h.Events.PageDeliveries(ctx, e.ID, offset, limit)
	if err != nil {
		return nil, err
	}
	kept, err := h.Events.EventsOf(ctx, deliveries...)
	if err != nil {
		return nil, err
	}
	out := make([]logged, 0, len(deliveries))
	for _, d := range deliveries {
		out = append(out, loggedOf(e, d, kept))
	}
	return out, nil
}

// logEntry serves GET /api/v1/dsync/events/{eventId}: null where the scope has no such delivery.
func (h *handler) logEntry(r *http.Request, p params) (answer, error) {
	endpoints, err := h.logsOf(r.Context(), p)
	if err != nil {
		return answer{}, err
	}
	d, err := h.Events.Delivery(r.Context(), deliveryID(r.PathValue("eventId")))
	if fault.Is(err, fault.NotFound) {
		return data(nil), nil
	}
	if err != nil {
		return answer{}, err
	}
	for _, e := range endpoints {
		if e.ID != d.EndpointID {
			continue
		}
		kept, err := h.Events.EventsOf(r.Context(), d)
		return data(loggedOf(e, d, kept)), err
	}
	return data(nil), nil
}

// clearLog serves DELETE /api/v1/dsync/events, which empties the log of one directory. What is still to be sent stays.
func (h *handler) clearLog(r *http.Request, p params) (answer, error) {
	if !p.filled("directoryId") {
		return answer{}, invalid("Missing required parameters.")
	}
	d, err := h.Directories.Directory(r.Context(), p.text("directoryId"))
	if fault.Is(err, fault.NotFound) {
		return answer{}, errNoDirectory
	}
	if err != nil {
		return answer{}, err
	}
	endpoints, err := h.webhooks(r.Context(), d)
	for _, e := range endpoints {
		if err == nil {
			err = h.Events.ForgetDeliveries(r.Context(), e.ID)
		}
	}
	return data(nil), err
}

// processEvents and syncGoogle are what a cron job calls (§1.5). Both go on by themselves; this has them look at once.
func (h *handler) processEvents(*http.Request, params) (answer, error) {
	h.Events.Wake("")
	return answer{http.StatusOK, map[string]string{"message": "Processing started"}}, nil
}

func (h *handler) syncGoogle(*http.Request, params) (answer, error) {
	h.SyncGoogle()
	return answer{http.StatusOK, map[string]string{"message": "Sync started"}}, nil
}
