package rest

import (
	"net/http"
	"strings"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
)

// Events serves GET /api/v1/events.
func (h *Handler) Events(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r, verbs{http.MethodGet: h.feed})
}

func (h *Handler) feed(r *http.Request) (int, any, error) {
	q, err := h.query(r)
	if err != nil {
		return 0, nil, err
	}
	q.After = max(q.After, 0)
	feed, err := h.Services.Events.Read(r.Context(), q)
	if err != nil {
		return 0, nil, err
	}
	list := make([]events.Envelope, len(feed.Events))
	for i, e := range feed.Events {
		list[i] = e.Envelope()
	}
	return http.StatusOK, struct {
		Events []events.Envelope `json:"events"`
		Next   int64             `json:"next"`
		More   bool              `json:"more"`
	}{list, feed.Next, feed.More}, nil
}

// query reads what is asked for. After is -1 where the request does not say.
func (h *Handler) query(r *http.Request) (q events.Query, err error) {
	values, err := parameters(r, "project", "organization", "directory", "type", "after", "limit")
	if err != nil {
		return q, err
	}
	name := values.Get("project")
	if name == "" {
		return q, fault.At("project", "required", "Give the id or the slug of a project.")
	}
	p, err := h.Projects.Get(r.Context(), name)
	if fault.Is(err, fault.NotFound) {
		p, err = h.Projects.BySlug(r.Context(), name)
	}
	if fault.Is(err, fault.NotFound) {
		err = notFound(err, "project", "No such project.")
	}
	if err != nil {
		return q, err
	}
	q.Scope = events.Scope{ProjectID: p.ID, OrganizationID: values.Get("organization"), DirectoryID: values.Get("directory")}
	for _, list := range values["type"] {
		q.Types = append(q.Types, strings.Split(list, ",")...)
	}
	if err := events.ValidTypes("type", q.Types); err != nil {
		return q, err
	}
	limit, err := number(values.Get("limit"), 0)
	if err != nil || limit > 500 || limit == 0 && values.Get("limit") != "" {
		return q, fault.At("limit", "invalid", "limit is 1 to 500.")
	}
	q.Limit = int(limit)
	if q.After, err = number(values.Get("after"), -1); err != nil {
		return q, fault.At("after", "invalid_cursor", "after is the position of an event, or 0.")
	}
	return q, nil
}
