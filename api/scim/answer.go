package scim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
)

// The media types of answers, RFC 7644 §3.8 and §8.1.
const (
	mediaType = "application/scim+json"
	plainType = "application/json" // to who accepts nothing else
)

// answer is what a request gets. At most one of value, one and list is set.
type answer struct {
	status   int
	version  int64 // of the resource, for ETag; 0 for none
	location string
	value    any    // written as it is
	one      *shown // a resource
	list     *found // a page of resources
	reason   string // of a refusal, for the log
}

// shown is a resource as an answer shows it.
type shown struct {
	kind       kind
	object     dirsync.Object
	projection scim.Projection
}

// outcome is what SCIM says of a fault; see the table in core/dirsync.
type outcome struct {
	status   int
	scimType string
}

var outcomes = map[fault.Kind]outcome{
	fault.Internal:        {http.StatusInternalServerError, ""},
	fault.Invalid:         {http.StatusBadRequest, scim.TypeInvalidValue},
	fault.Unauthenticated: {http.StatusUnauthorized, ""},
	fault.Forbidden:       {http.StatusForbidden, ""},
	fault.NotFound:        {http.StatusNotFound, ""},
	fault.Conflict:        {http.StatusConflict, ""},
	fault.Taken:           {http.StatusConflict, scim.TypeUniqueness},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, ""},
	fault.TooMany:         {http.StatusTooManyRequests, ""},
	fault.Unavailable:     {http.StatusServiceUnavailable, ""},
}

// byCode are the faults that mean something more exact to SCIM than their kind does.
var byCode = map[string]outcome{
	"version_mismatch": {http.StatusPreconditionFailed, ""},
	"too_many":         {http.StatusBadRequest, scim.TypeTooMany},
	"invalid_cursor":   {http.StatusBadRequest, scim.TypeInvalidCursor},
}

// refused is the error of RFC 7644 §3.12 that stands for err.
func refused(err error, requestID string) *scim.Error {
	var known *scim.Error
	if errors.As(err, &known) {
		return known
	}
	f := fault.From(err)
	o, ok := byCode[f.Code]
	if !ok {
		o = outcomes[f.Kind]
	}
	detail := f.Message
	if f.Kind == fault.Internal && requestID != "" {
		detail += " Request id: " + requestID
	}
	return &scim.Error{Status: o.status, Type: o.scimType, Detail: detail}
}

// refusal answers an error, and logs ours.
func (h *Handler) refusal(r *http.Request, err error) answer {
	e := refused(err, middleware.RequestID(r.Context()))
	if e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented {
		h.Logger.LogAttrs(r.Context(), slog.LevelError, "scim request failed", slog.Int("status", e.Status), slog.Any("error", err))
	}
	return answer{status: e.Status, value: errorBody(e), reason: e.Error()}
}

// errorBody is an error as RFC 7644 §3.12 writes it: its status is a string.
func errorBody(e *scim.Error) any {
	return struct {
		Schemas []string `json:"schemas"`
		Status  string   `json:"status"`
		Type    string   `json:"scimType,omitempty"`
		Detail  string   `json:"detail"`
	}{[]string{scim.ErrorURN}, strconv.Itoa(e.Status), e.Type, e.Detail}
}

// bodyError says why a body could not be read.
func bodyError(err error, limit int64) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return fault.New(fault.TooLarge, "too_large", "A body has at most "+strconv.FormatInt(limit, 10)+" bytes at this address.")
	}
	return &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidSyntax, Detail: "The body of the request ended early."}
}

// send writes an answer. Resources go out as they are read; one that cannot be read to its end breaks the connection, so that
// nobody takes a part for the whole.
func (h *Handler) send(w http.ResponseWriter, c *call, a answer) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	if a.version > 0 {
		header.Set("ETag", tag(a.version))
	}
	if a.location != "" { // the same as meta.location, RFC 7643 §3.1
		header.Set("Location", a.location)
		header.Set("Content-Location", a.location)
	}
	switch a.status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="scim"`)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	case http.StatusNoContent, http.StatusNotModified:
		w.WriteHeader(a.status)
		return
	}
	header.Set("Content-Type", accepted(c.directory.Type, c.Header.Values("Accept")))
	w.WriteHeader(a.status)
	if c.Method == http.MethodHead {
		return
	}
	out := bufio.NewWriterSize(w, 16<<10)
	err := h.write(out, c, a)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		h.Logger.LogAttrs(c.Context(), slog.LevelWarn, "scim answer broken off", slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// accepted is the media type of an answer to who asks for it so. OneLogin documents that it takes plain JSON alone.
func accepted(client dirsync.Type, accept []string) string {
	ask := strings.ToLower(strings.Join(accept, ","))
	plain := strings.Contains(ask, plainType) && !strings.Contains(ask, "/*") || client == dirsync.OneLogin
	if plain && !strings.Contains(ask, mediaType) {
		return plainType
	}
	return mediaType
}

func (h *Handler) write(w io.Writer, c *call, a answer) error {
	switch {
	case a.one != nil:
		return h.writeOne(w, c, *a.one)
	case a.list != nil:
		return h.writeList(w, c, *a.list)
	}
	return writeJSON(w, a.value)
}

func writeJSON(w io.Writer, value any) error {
	text, err := encode(value)
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

// encode is json.Marshal that leaves <, > and & as they are.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// writeList writes a ListResponse, RFC 7644 §3.4.2.
func (h *Handler) writeList(w io.Writer, c *call, f found) error {
	head := struct {
		Schemas []string `json:"schemas"`
		Total   int64    `json:"totalResults"`
		Items   int      `json:"itemsPerPage"`
		Start   int      `json:"startIndex,omitempty"`
		Next    string   `json:"nextCursor,omitempty"`
	}{[]string{scim.ListURN}, f.total, len(f.kinds), f.start, f.next}
	return writeWith(w, head, "Resources", func() error {
		for i, s := range f.kinds {
			if i > 0 {
				if _, err := io.WriteString(w, ","); err != nil {
					return err
				}
			}
			if err := h.writeOne(w, c, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeWith writes an object with one more member: a list, which write writes.
func writeWith(w io.Writer, object any, name string, write func() error) error {
	text, err := encode(object)
	if err != nil {
		return err
	}
	comma := ","
	if len(text) == len("{}") {
		comma = ""
	}
	if _, err = io.WriteString(w, string(text[:len(text)-1])+comma+`"`+name+`":[`); err != nil {
		return err
	}
	if err = write(); err != nil {
		return err
	}
	_, err = io.WriteString(w, "]}")
	return err
}

// writeOne writes a resource with its addresses; of a group the members, as they are read.
func (h *Handler) writeOne(w io.Writer, c *call, s shown) error {
	r := s.object.Resource
	c.addAddresses(s.kind, s.object.ID, r)
	if s.kind.Name != scim.Group.Name || !s.projection.Wants("members") {
		return writeJSON(w, s.projection.Apply(r))
	}
	return writeWith(w, s.projection.Apply(r), "members", func() error { return h.writeMembers(w, c, s) })
}

// addAddresses sets meta.location, and $ref of groups.
func (c *call) addAddresses(k kind, id string, r scim.Resource) {
	if meta, ok := r["meta"].(map[string]any); ok {
		meta["location"] = c.location(k, id)
	}
	groups, _ := r["groups"].([]any)
	for _, g := range groups {
		if g, ok := g.(map[string]any); ok {
			if value, ok := g["value"].(string); ok {
				g["$ref"] = c.base + scim.Group.Endpoint + "/" + value
			}
		}
	}
}

// writeMembers writes the members of a group, a page at a time.
func (h *Handler) writeMembers(w io.Writer, c *call, s shown) error {
	comma := ""
	for after := ""; ; {
		page, err := h.Directories.Members(c.Context(), c.directory, s.object.ID, maxPage, after)
		if err != nil {
			return err
		}
		values := make([]any, 0, len(page.Items))
		for _, m := range page.Items {
			values = append(values, c.member(m))
		}
		values, _ = s.projection.Apply(scim.Resource{"members": values})["members"].([]any)
		for _, v := range values {
			text, err := encode(v)
			if err != nil {
				return err
			}
			if _, err = io.WriteString(w, comma+string(text)); err != nil {
				return err
			}
			comma = ","
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

func (c *call) member(m dirsync.Member) map[string]any {
	endpoint := scim.User.Endpoint
	if m.Type == scim.Group.Name {
		endpoint = scim.Group.Endpoint
	}
	v := map[string]any{"value": m.Value, "type": m.Type, "$ref": c.base + endpoint + "/" + m.Value}
	if m.Display != "" {
		v["display"] = m.Display
	}
	return v
}
