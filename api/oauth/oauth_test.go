package oauth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"github.com/portico-sso/portico/api/pages"
	"github.com/portico-sso/portico/core/fault"
)

func TestEveryKindHasAnAnswer(t *testing.T) {
	for _, kind := range fault.Kinds {
		answer, ok := tokenErrors[kind]
		if !ok || answer.status < 400 {
			t.Errorf("kind %d has no answer at the token endpoint", kind)
		}
		fromPeople := kind != fault.Internal && kind != fault.Unavailable
		if fromPeople == (answer.status >= 500) || fromPeople == (pages.Status(kind) >= 500) {
			t.Errorf("kind %d: %d at the token endpoint, %d on pages", kind, answer.status, pages.Status(kind))
		}
	}
}

func TestReadCredentials(t *testing.T) {
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, c := range []struct {
		name, authorization string
		form                url.Values
		id, secret, asSent  string
		refused             bool
	}{
		{"body", "", url.Values{"client_id": {"a"}, "client_secret": {"b"}}, "a", "b", "", false},
		{"basic", basic("a:b"), nil, "a", "b", "", false},
		{"basic, encoded", basic("tenant%3Da%26product%3Db:s%2Bt"), nil, "tenant=a&product=b", "s+t", "s%2Bt", false},
		{"basic, not encoded", basic("tenant=a&product=b:s+t"), nil, "tenant=a&product=b", "s t", "s+t", false},
		{"basic beside the same id", basic("a:b"), url.Values{"client_id": {"a"}}, "a", "b", "", false},
		{"two ids", basic("a:b"), url.Values{"client_id": {"x"}}, "", "", "", true},
		{"two secrets", basic("a:b"), url.Values{"client_secret": {"x"}}, "", "", "", true},
		{"no colon", basic("a"), nil, "", "", "", true},
		{"no base64", "Basic !", nil, "", "", "", true},
		{"colon in the secret", basic("a:b:c"), nil, "a", "b:c", "", false},
		{"another scheme", "Bearer x", url.Values{"client_id": {"a"}}, "a", "", "", false},
	} {
		got, err := readCredentials(c.authorization, c.form)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.refused {
			if f := fault.From(err); tokenErrors[f.Kind].status >= http.StatusInternalServerError {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		asSent := ""
		if got.AsSent != nil {
			asSent = got.AsSent.Secret
		}
		if got.ClientID != c.id || got.Secret != c.secret || asSent != c.asSent {
			t.Errorf("%s: got %q %q %q", c.name, got.ClientID, got.Secret, asSent)
		}
	}
}
