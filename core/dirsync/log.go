package dirsync

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/core/secret"
	"github.com/portico-sso/portico/ports/store"
)

const requests = "scim_requests"

var requestCollection = store.Collection{Name: requests, Expires: true, Sealed: true, Keys: record.Keys(requestHead), Indexes: []store.Index{
	{Name: "by_directory", Fields: []string{"directory", "at"}},
	{Name: "by_refusal", Fields: []string{"refused", "at"}}, // of a directory: its refusals alone
}}

func requestHead(r Request) store.Doc {
	keys := map[string]string{"directory": r.DirectoryID, "at": key.Time(r.At)}
	if r.Status >= firstRefusal {
		keys["refused"] = r.DirectoryID
	}
	return store.Doc{ID: r.ID, Version: 1, ExpiresAt: r.ExpiresAt, Keys: keys}
}

// firstRefusal is the first status of HTTP that says that a request was not done as it was asked.
const firstRefusal = 400

// Bytes that are kept of a request.
const (
	maxLoggedBody   = 16 << 10
	maxLoggedPath   = 2 << 10
	maxLoggedReason = 1 << 10

	logPage = 50 // requests of one commit: whatever their bytes become in JSON, they fit
)

// LogRequests writes requests into the log of their directory; it sets ID and, from the directory's LogFor, ExpiresAt. A
// directory that keeps none keeps none.
func (s *Service) LogRequests(ctx context.Context, d Directory, list ...Request) error {
	if d.LogFor <= 0 {
		return nil
	}
	for chunk := range slices.Chunk(list, logPage) {
		ops := make([]store.Op, len(chunk))
		for i, r := range chunk {
			r.ID, r.ProjectID, r.DirectoryID = s.IDs.UUID(), d.ProjectID, d.ID
			if r.At.IsZero() {
				r.At = s.now()
			}
			r.ExpiresAt = r.At.Add(time.Duration(d.LogFor) * time.Second)
			r.Path, r.Reason, r.Body = short(redactPath(r.Path), maxLoggedPath), short(r.Reason, maxLoggedReason), short(r.Body, maxLoggedBody)
			ops[i] = s.requests.Insert(r)
		}
		if err := s.requests.Once(ctx, &ops[0], func() error { return s.Records.Commit(ctx, ops...) }); err != nil {
			return s.requests.Fault(err)
		}
	}
	return nil
}

func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Requests reads one page of a directory's log, newest first; refused leaves what was answered as asked out.
func (s *Service) Requests(ctx context.Context, d Directory, refused bool, limit int, after string) (record.Page[Request], error) {
	index := "by_directory"
	if refused {
		index = "by_refusal"
	}
	return s.requests.List(ctx, store.Range{Index: index, Eq: []string{d.ID}, Desc: true, Limit: limit, After: after})
}

// ClearRequests empties a directory's log.
func (s *Service) ClearRequests(ctx context.Context, d Directory) error {
	for {
		if emptied, err := s.clearRequests(ctx, d, 400); err != nil || emptied {
			return err
		}
	}
}

func (s *Service) clearRequests(ctx context.Context, d Directory, limit int) (emptied bool, err error) {
	list, err := s.requests.Range(ctx, store.Range{Index: "by_directory", Eq: []string{d.ID}, Limit: limit})
	if err != nil || len(list) == 0 {
		return err == nil, err
	}
	err = s.once(ctx, func() ([]store.Op, error) {
		ids := make([]string, len(list))
		for i, r := range list {
			ids[i] = r.ID
		}
		there, err := s.requests.GetMany(ctx, ids)
		ops := make([]store.Op, len(there))
		for i, r := range there {
			ops[i] = s.requests.Delete(r)
		}
		return ops, err
	})
	return false, err
}

// RedactBody is a body as the log keeps it: passwords and other secrets are left out, wherever they stand, of a PATCH too. Of
// one that is not JSON nothing is kept, as nobody knows what is in it.
func RedactBody(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return "(not JSON)"
	}
	out, err := json.Marshal(redacted(v))
	if err != nil {
		return ""
	}
	return short(string(out), maxLoggedBody)
}

func redacted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		hidden := false // the value of an operation whose path names a secret
		for name, value := range v {
			if path, ok := value.(string); ok && strings.EqualFold(name, "path") && sensitive(path) {
				hidden = true
			}
		}
		for name, value := range v {
			if sensitive(name) || hidden && strings.EqualFold(name, "value") {
				v[name] = secret.Redacted
			} else {
				v[name] = redacted(value)
			}
		}
		return v
	case []any:
		for i := range v {
			v[i] = redacted(v[i])
		}
		return v
	case string: // a body inside of a body, or a filter
		if has(v, passwords) && strings.ContainsAny(v, "{[\"=") {
			return secret.Redacted
		}
	}
	return v
}

// redactPath leaves out of a query what is a secret, or asks for one.
func redactPath(path string) string {
	path, query, asked := strings.Cut(path, "?")
	if !asked {
		return path
	}
	list := strings.Split(query, "&")
	for i, part := range list {
		name, value, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		switch {
		case err1 != nil || value == "" && sensitive(name): // who knows what is in it
			list[i] = secret.Redacted
		case err2 != nil || sensitive(name) || has(value, passwords):
			list[i] = url.QueryEscape(name) + "=" + secret.Redacted
		}
	}
	return path + "?" + strings.Join(list, "&")
}

// Parts of the names of secrets, without the signs between their words.
var (
	passwords = []string{"password", "passwd", "passphrase"}
	secrets   = append([]string{"pwd", "secret", "credential", "token", "apikey", "privatekey"}, passwords...)
	signs     = strings.NewReplacer("_", "", "-", "")
)

// sensitive reports whether what a name or path names is a secret.
func sensitive(name string) bool { return has(name, secrets) }

func has(text string, parts []string) bool {
	text = signs.Replace(strings.ToLower(text))
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}
