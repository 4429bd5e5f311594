package e2e

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// push sends a request ahead and gives its reference.
func (l *land) push(c client, q url.Values) string {
	l.t.Helper()
	a := l.post("/api/oauth/par", with(q, c.credentials()))
	reference, _ := a.json(l.t)["request_uri"].(string)
	if a.StatusCode != http.StatusCreated || !strings.HasPrefix(reference, "urn:ietf:params:oauth:request_uri:") {
		l.t.Fatalf("push: %s %s", a.Status, a.body)
	}
	return reference
}

func TestPushedRequests(t *testing.T) {
	l := newLand(t)
	brings := func(c client, reference string) url.Values {
		return url.Values{"client_id": {c.id}, "request_uri": {reference}}
	}
	reference := l.push(l.web, l.web.asks(nil))
	got := granted(t, l.redeem(l.code(l.idp, brings(l.web, reference)), l.web.credentials()))
	if got.ID == "" {
		t.Error("the scope of the pushed request is lost")
	}
	refusedPage(t, l.authorize(brings(l.web, reference)), 400) // it was used
	refusedPage(t, l.authorize(brings(l.second, l.push(l.web, l.web.asks(nil)))), 400)
	refusedPage(t, l.authorize(brings(l.web, reference[:len(reference)-2])), 400)
	late := l.push(l.web, l.web.asks(nil))
	l.clock.advance(6 * time.Minute)
	refusedPage(t, l.authorize(brings(l.web, late)), 400)

	t.Run("what stands beside is not believed", func(t *testing.T) {
		q := brings(l.web, l.push(l.web, l.web.asks(nil)))
		q.Set("redirect_uri", "https://evil.example/")
		q.Set("state", "evil")
		if a := l.authorize(q); !strings.HasPrefix(a.Header.Get("Location"), "https://idp.example/") {
			t.Fatalf("%s to %s", a.Status, a.Header.Get("Location"))
		}
	})
	t.Run("one that must be", func(t *testing.T) {
		c := l.newApplication(testProduct, map[string]any{"requirePushedRequests": true})
		refusedPage(t, l.authorize(c.asks(nil)), 400)
		granted(t, l.redeem(l.code(l.idp, brings(c, l.push(c, c.asks(nil)))), c.credentials()))
	})
	t.Run("a chooser between", func(t *testing.T) {
		second := newIdP(t, "https://idp.example/second")
		record := l.connect(second, nil)
		l.clock.advance(2 * time.Second)
		q := brings(l.web, l.push(l.web, l.web.asks(nil)))
		chooser := l.authorize(q).location()
		if chooser.Path != "/idp/select" || l.get(chooser.RequestURI()).StatusCode != http.StatusOK {
			t.Fatalf("%s", chooser)
		}
		q.Set("idp_hint", record["clientID"].(string))
		granted(t, l.redeem(l.code(second, q), l.web.credentials()))
	})
	for what, c := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"nobody":                 {l.web.asks(url.Values{"client_id": nil}), 401, "invalid_client"},
		"a wrong secret":         {l.web.asks(url.Values{"client_secret": {"x"}}), 401, "invalid_client"},
		"another redirect URI":   {with(l.web.asks(url.Values{"redirect_uri": {"https://evil.example"}}), l.web.credentials()), 400, "invalid_request"},
		"a reference":            {with(l.web.asks(url.Values{"request_uri": {"urn:x"}}), l.web.credentials()), 400, "invalid_request"},
		"an implicit request":    {with(l.web.asks(url.Values{"response_type": {"token"}}), l.web.credentials()), 400, "unsupported_response_type"},
		"no PKCE of a public":    {l.spa.asks(nil), 400, "invalid_request"},
		"an unknown resource":    {with(l.web.asks(url.Values{"resource": {"https://x"}}), l.web.credentials()), 400, "invalid_target"},
		"a request of 20 kB":     {with(l.web.asks(url.Values{"x": {strings.Repeat("x", 20_000)}}), l.web.credentials()), 400, "invalid_request"},
		"another's organization": {with(l.web.asks(url.Values{"organization": {"none"}}), l.web.credentials()), 400, "invalid_request"},
	} {
		t.Run(what, func(t *testing.T) { tokenRefused(t, l.post("/api/oauth/par", c.form), c.status, c.code) })
	}
}

func TestRequestObjects(t *testing.T) {
	l := newLand(t)
	key, other := ecKey(t), ecKey(t)
	c := l.newApplication(testProduct, map[string]any{"jwks": keySet(t, key)})
	claims := func(change map[string]any) map[string]any {
		all := map[string]any{"iss": c.id, "aud": l.URL, "exp": l.clock.now().Add(time.Minute).Unix(), "jti": uuid.NewString()}
		for name, values := range c.asks(url.Values{"nonce": {"in-the-object"}}) {
			all[name] = values[0]
		}
		maps.Copy(all, change)
		maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
		return all
	}
	ask := func(object string) url.Values { return url.Values{"client_id": {c.id}, "request": {object}} }
	got := granted(t, l.redeem(l.code(l.idp, ask(signed(t, key, nil, claims(nil)))), c.credentials()))
	if !strings.Contains(string(payloadOf(t, got.ID)), "in-the-object") {
		t.Error("the object's nonce is lost")
	}
	granted(t, l.redeem(l.code(l.idp, url.Values{"client_id": {c.id}, "request_uri": {l.push(c, ask(signed(t, key, nil, claims(nil))))}}), c.credentials()))
	beside := ask(signed(t, key, nil, claims(nil)))
	beside.Set("redirect_uri", "https://evil.example/")
	if a := l.authorize(beside); !strings.HasPrefix(a.Header.Get("Location"), "https://idp.example/") {
		t.Errorf("what stands beside the object is believed: %s to %s", a.Status, a.Header.Get("Location"))
	}
	for what, object := range map[string]string{
		"another key":       signed(t, other, nil, claims(nil)),
		"another issuer":    signed(t, key, nil, claims(map[string]any{"iss": l.web.id})),
		"another client":    signed(t, key, nil, claims(map[string]any{"client_id": l.web.id})),
		"another server":    signed(t, key, nil, claims(map[string]any{"aud": "https://other.example"})),
		"no audience":       signed(t, key, nil, claims(map[string]any{"aud": nil})),
		"an end that was":   signed(t, key, nil, claims(map[string]any{"exp": l.clock.now().Add(-time.Minute).Unix()})),
		"no end":            signed(t, key, nil, claims(map[string]any{"exp": nil})),
		"a start to come":   signed(t, key, nil, claims(map[string]any{"nbf": l.clock.now().Add(time.Hour).Unix()})),
		"a far end":         signed(t, key, nil, claims(map[string]any{"exp": l.clock.now().Add(48 * time.Hour).Unix()})),
		"alg none":          "eyJhbGciOiJub25lIn0.e30.",
		"words":             "x",
		"a foreign address": signed(t, key, nil, claims(map[string]any{"redirect_uri": "https://evil.example/"})),
	} {
		t.Run(what, func(t *testing.T) {
			a := l.authorize(ask(object))
			if a.StatusCode != http.StatusFound || a.Header.Get("Location") != "/error" {
				t.Errorf("%s to %s", a.Status, a.Header.Get("Location"))
			}
		})
	}
	refusedPage(t, l.authorize(url.Values{"client_id": {l.web.id}, "request": {signed(t, key, nil, claims(nil))}}), 400)
}

func TestFormPost(t *testing.T) {
	l := newLand(t)
	q := l.web.asks(url.Values{"response_mode": {"form_post"}, "state": {`"><script>`}})
	request := l.begin(q)
	a := l.acs(l.respond(l.idp, request, nil), request.RelayState)
	if a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), `action="`+callback+`"`) || strings.Contains(string(a.body), "<script>") {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	if field(t, a.body, "iss") != l.URL || field(t, a.body, "state") != `"><script>` {
		t.Errorf("%s", a.body)
	}
	granted(t, l.redeem(field(t, a.body, "code"), l.web.credentials()))
	refused := l.authorize(l.web.asks(url.Values{"response_mode": {"form_post"}, "response_type": {"token"}}))
	if field(t, refused.body, "error") != "unsupported_response_type" {
		t.Errorf("%s %s", refused.Status, refused.body)
	}
}

// payloadOf is what a JWT says, unverified.
func payloadOf(t *testing.T, token string) []byte {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return text
}
