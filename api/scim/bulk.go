package scim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/core/dirsync/scim"
)

const bulkID = "bulkId:" // what a reference to a resource of the same request begins with

// bulkRequest is RFC 7644 §3.7.
type bulkRequest struct {
	Schemas      []string    `json:"schemas"`
	FailOnErrors int         `json:"failOnErrors"` // stop after so many; 0 never
	Operations   []operation `json:"Operations"`
}

type operation struct {
	Method  string          `json:"method"`
	Path    string          `json:"path"`
	BulkID  string          `json:"bulkId"`
	Version string          `json:"version"`
	Data    json.RawMessage `json:"data"`

	state state
}

// state is how far an operation is.
type state uint8

const (
	waits state = iota
	runs        // or waits for one that it refers to
	ended
)

// result is an operation's part of the answer.
type result struct {
	Method   string `json:"method"`
	BulkID   string `json:"bulkId,omitempty"`
	Version  string `json:"version,omitempty"`
	Location string `json:"location,omitempty"`
	Status   string `json:"status"`
	Response any    `json:"response,omitempty"`
}

// bulk is one bulk request at work. Its operations are done in their order, save that one which another refers to comes first.
type bulk struct {
	h       *Handler
	c       *call
	list    []operation
	byID    map[string]int    // index by bulkId
	made    map[string]string // id of the resource by bulkId
	results []*result
	errors  int
	limit   int // of errors; 0 for none
}

// bulk serves /Bulk. Each operation is a commit of its own.
func (h *Handler) bulk(c *call) (answer, error) {
	var request bulkRequest
	if err := json.Unmarshal(c.body, &request); err != nil || request.Operations == nil || len(request.Schemas) != 1 || !strings.EqualFold(request.Schemas[0], scim.BulkURN) {
		return answer{}, &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidSyntax, Detail: "The body is no " + scim.BulkURN + "."}
	}
	if len(request.Operations) > maxBulkOperations {
		return answer{}, &scim.Error{Status: http.StatusRequestEntityTooLarge,
			Detail: "A bulk request has at most " + strconv.Itoa(maxBulkOperations) + " operations."}
	}
	b := &bulk{h: h, c: c, list: request.Operations, limit: max(0, request.FailOnErrors),
		byID: map[string]int{}, made: map[string]string{}, results: make([]*result, len(request.Operations))}
	for i, o := range b.list {
		if o.BulkID == "" {
			continue
		}
		if _, twice := b.byID[o.BulkID]; twice {
			return answer{}, &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidValue, Detail: "The bulkId " + strconv.Quote(o.BulkID) + " stands twice."}
		}
		b.byID[o.BulkID] = i
	}
	for i := range b.list {
		b.do(i)
	}
	shown := []*result{}
	for _, r := range b.results {
		if r != nil {
			shown = append(shown, r)
		}
	}
	return answer{status: http.StatusOK, value: map[string]any{"schemas": []string{scim.BulkedURN}, "Operations": shown}}, nil
}

// do runs an operation, unless it has run or there were too many errors.
func (b *bulk) do(i int) {
	o := &b.list[i]
	if o.state != waits || b.limit > 0 && b.errors >= b.limit {
		return
	}
	o.state = runs
	a, err := b.run(o)
	o.state = ended
	if err != nil {
		b.errors++
		a = b.h.refusal(b.c.Request, err)
	}
	b.results[i] = b.shown(*o, a)
}

func (b *bulk) shown(o operation, a answer) *result {
	r := &result{Method: o.Method, BulkID: o.BulkID, Status: strconv.Itoa(a.status), Location: a.location, Response: a.value}
	if a.version > 0 {
		r.Version = tag(a.version)
	}
	if r.Location == "" && o.Path != "" && !strings.EqualFold(o.Method, http.MethodPost) {
		r.Location = b.c.base + "/" + strings.TrimPrefix(o.Path, "/")
	}
	return r
}

// run sends an operation to its endpoint as a request of its own.
func (b *bulk) run(o *operation) (answer, error) {
	refuse := func(detail string) (answer, error) {
		return answer{}, &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidValue, Detail: detail}
	}
	method := strings.ToUpper(o.Method)
	if method == http.MethodPost && o.BulkID == "" {
		return refuse("A POST needs a bulkId.")
	}
	path, err := b.resolve(o.Path)
	if err != nil {
		return answer{}, err
	}
	data, err := b.resolve(string(o.Data))
	if err != nil {
		return answer{}, err
	}
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" {
		o.Path = ""
		return refuse("path is the endpoint and the id, such as /Users or /Users/{id}.")
	}
	o.Path = u.Path
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	for _, k := range b.h.kinds {
		if !strings.EqualFold(segments[0], strings.TrimPrefix(k.Endpoint, "/")) {
			continue
		}
		c := b.request(*o, method, u, data)
		switch {
		case len(segments) == 1 && method == http.MethodPost:
			a, err := b.h.create(c, k)
			if err == nil {
				b.made[o.BulkID] = a.one.object.ID
			}
			return terse(a), err
		case len(segments) == 2 && method == http.MethodPut:
			a, err := b.h.replace(c, k, segments[1])
			return terse(a), err
		case len(segments) == 2 && method == http.MethodPatch:
			a, err := b.h.patch(c, k, segments[1])
			return terse(a), err
		case len(segments) == 2 && method == http.MethodDelete:
			return b.h.remove(c, k, segments[1])
		}
	}
	return refuse("An operation is POST to /Users or /Groups, or PUT, PATCH or DELETE to one of their resources.")
}

// terse leaves the resource out: its address is in the answer.
func terse(a answer) answer {
	a.one = nil
	return a
}

func (b *bulk) request(o operation, method string, u *url.URL, data string) *call {
	r := b.c.Clone(b.c.Context())
	r.Method, r.URL.RawQuery = method, u.RawQuery
	r.Header.Del("If-Match")
	if o.Version != "" {
		r.Header.Set("If-Match", o.Version)
	}
	return &call{Request: r, directory: b.c.directory, base: b.c.base, body: []byte(data)}
}

// resolve puts the ids of resources for the references to them, after the operations that make them have run. In data a
// reference is a whole string, in a path a segment.
func (b *bulk) resolve(text string) (string, error) {
	if !strings.Contains(text, bulkID) {
		return text, nil
	}
	if !json.Valid([]byte(text)) { // a path
		segments := strings.Split(text, "/")
		for i, s := range segments {
			id, err := b.id(s)
			if err != nil {
				return "", err
			}
			segments[i] = id
		}
		return strings.Join(segments, "/"), nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "", err
	}
	value, err := b.inside(value)
	if err != nil {
		return "", err
	}
	data, err := encode(value)
	return string(data), err
}

// inside resolves the references in a JSON value.
func (b *bulk) inside(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case string:
		return b.id(v)
	case []any:
		for i := range v {
			if v[i], err = b.inside(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = b.inside(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

// id is the id of the resource that text refers to; other text stays.
func (b *bulk) id(text string) (string, error) {
	name, ok := strings.CutPrefix(text, bulkID)
	if !ok {
		return text, nil
	}
	i, known := b.byID[name]
	if !known {
		return "", &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidValue, Detail: "No operation has the bulkId " + strconv.Quote(name) + "."}
	}
	if b.list[i].state == runs {
		return "", &scim.Error{Status: http.StatusConflict, Detail: "The operations refer to each other in a circle, at bulkId " + strconv.Quote(name) + "."}
	}
	b.do(i)
	if made, ok := b.made[name]; ok {
		return made, nil
	}
	return "", &scim.Error{Status: http.StatusConflict, Detail: "The resource of bulkId " + strconv.Quote(name) + " was not made."}
}
