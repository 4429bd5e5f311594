package polis

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/core/fault"
)

// maxBody is the largest body of a request (§0.1).
const maxBody = 1 << 20

// params are the fields of a query, a form or a JSON object. A field that is repeated is a list.
type params map[string]any

// readParams reads the fields of a request: those of the query for GET and DELETE, else those of the body.
func readParams(w http.ResponseWriter, r *http.Request) (params, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodDelete {
		q, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "query_malformed", "The query cannot be read.")
		}
		return fromValues(q), nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, fault.Wrap(err, fault.TooLarge, "body_too_large", "Body exceeded 1mb limit")
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "body_malformed", "The body cannot be read.")
	}
	return parseBody(r.Header.Get("Content-Type"), body)
}

// parseBody reads a body by its content type. One of another type has no fields (§0.1).
func parseBody(contentType string, body []byte) (params, error) {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	switch mediaType {
	case "application/json":
		return parseJSON(body)
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "body_malformed", "Invalid form")
		}
		return fromValues(form), nil
	}
	return params{}, nil
}

func parseJSON(body []byte) (params, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return params{}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	err := decoder.Decode(&v)
	if err == nil {
		_, err = decoder.Token()
	}
	if !errors.Is(err, io.EOF) {
		return nil, &fault.Error{Kind: fault.Invalid, Code: "body_malformed", Message: "Invalid JSON", Err: err}
	}
	fields, _ := v.(map[string]any) // anything but an object has no fields
	return fields, nil
}

func fromValues(values url.Values) params {
	p := params{}
	for name, list := range values {
		if len(list) == 1 {
			p[name] = list[0]
			continue
		}
		items := make([]any, len(list))
		for i, item := range list {
			items[i] = item
		}
		p[name] = items
	}
	return p
}

// has reports whether the field is there, whatever its value.
func (p params) has(names ...string) bool {
	for _, name := range names {
		if _, ok := p[name]; ok {
			return true
		}
	}
	return false
}

// filled reports whether the field holds something.
func (p params) filled(name string) bool { return p[name] != nil && p[name] != "" }

// texts reads several fields that hold one text each; a missing one and null are "".
func (p params) texts(into map[string]*string) error {
	for name, target := range into {
		switch v := p[name].(type) {
		case nil:
			*target = ""
		case string:
			*target = v
		default:
			return fault.At(name, "not_a_text", "The field `"+name+"` must be a single text.")
		}
	}
	return nil
}

// text reads one such field; a field of another kind counts as missing.
func (p params) text(name string) string {
	s, _ := p[name].(string)
	return s
}

// list reads a field that may be repeated.
func (p params) list(name string) (items []string, repeated bool) {
	v, repeated := p[name].([]any)
	for _, item := range v {
		if s, ok := item.(string); ok {
			items = append(items, s)
		}
	}
	return items, repeated
}

// flag is the bool-normalised value of a field (§0.7): anything but false and "false" is true.
func (p params) flag(name string) bool {
	v := p[name]
	return v != false && v != "false"
}

// on is for what has to be asked for in so many words: true or "true".
func (p params) on(name string) bool { return p[name] == true || p[name] == "true" }

// redirects reads redirectUrl: a list, a single URL, or a text that holds a JSON list. given says that there is one.
func (p params) redirects() (urls []string, given bool, err error) {
	invalid := fault.At("redirectUrl", "invalid", "redirectUrl is invalid")
	switch v := p["redirectUrl"].(type) {
	case nil:
		return nil, false, nil
	case string:
		switch {
		case v == "":
			return nil, false, nil
		case v[0] != '[':
			return []string{v}, true, nil
		}
		if json.Unmarshal([]byte(v), &urls) != nil {
			return nil, true, invalid
		}
		return urls, true, nil
	case []any:
		urls = []string{}
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, true, invalid
			}
			urls = append(urls, s)
		}
		return urls, true, nil
	}
	return nil, true, invalid
}

// maxSortOrder is the largest number that every JSON reader has exactly.
const maxSortOrder = 1<<53 - 1

// sortOrder reads sortOrder: a number, or a text that is one. Where it is not given or cleared it is nil.
func (p params) sortOrder() (*int64, error) {
	notANumber := fault.At("sortOrder", "invalid", "The field `sortOrder` must be a number.")
	var text string
	switch v := p["sortOrder"].(type) {
	case nil:
		return nil, nil
	case string:
		text = strings.TrimSpace(v)
		if v == "" {
			return nil, nil
		}
	case json.Number:
		text = v.String()
	}
	number, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(number) || number > maxSortOrder:
		return nil, notANumber
	case number < 0:
		return nil, fault.At("sortOrder", "invalid", "The field `sortOrder` must be a number greater than or equal to 0.")
	}
	order := int64(number)
	return &order, nil
}

// The page of a listing where the request names none, and the largest (§0.6).
const maxPage = 50

// page reads the place and the size of a page (§0.6). pageToken has no meaning here, as on Polis's SQL engines.
func (p params) page() (offset, limit int) {
	if offset = p.number("pageOffset", "offset"); offset < 0 {
		offset = 0
	}
	if limit = p.number("pageLimit", "limit"); limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	return offset, limit
}

// number reads the first of two names that holds a number; another value is ignored.
func (p params) number(name, alias string) int {
	for _, n := range []string{name, alias} {
		if v, err := strconv.ParseInt(p.text(n), 10, 32); err == nil {
			return int(v)
		}
	}
	return 0
}
