package e2e

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
)

// hook is a call to a webhook.
type hook struct {
	path   string
	header http.Header
	body   string
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// A connection is made, deactivated and deleted over Polis's API: the log tells it, a stream, a webhook of the project, and the
// endpoint of the installation, signed.
func TestEventsEndToEnd(t *testing.T) {
	calls := make(chan hook, 20)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls <- hook{r.URL.Path, r.Header, string(body)}
	}))
	t.Cleanup(receiver.Close)
	p := start(t, func(c *app.Config) {
		c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.WebhookURL, c.WebhookSecret = receiver.URL+"/all", "secret"
	})
	record := p.connect(newIdP(t, "urn:events"), nil)
	projectID := p.projectID(testProduct)
	made := p.mutate("createWebhookEndpoint", "CreateWebhookEndpointInput", "endpoint { id } secret",
		map[string]any{"projectId": projectID, "url": receiver.URL + "/own"})
	secret := made["secret"].(string)

	response, err := http.DefaultClient.Do(p.request(http.MethodGet, "/api/v1/events/stream?after=0&project="+testProduct, nil, "Authorization", "Bearer "+adminKey))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	told := bufio.NewScanner(response.Body)
	next := func() string {
		for told.Scan() {
			if kind, ok := strings.CutPrefix(told.Text(), "event: "); ok {
				return kind
			}
		}
		return "the end"
	}
	if kind := next(); kind != "ConnectionCreated" {
		t.Fatalf("the stream begins with %s", kind)
	}
	p.deactivate(record, true)
	if kind := next(); kind != "ConnectionDeactivated" {
		t.Errorf("the stream goes on with %s", kind)
	}

	got := map[string]hook{}
	for got["/own deactivated"].body == "" || got["/all created"].body == "" || got["/all deactivated"].body == "" {
		select {
		case h := <-calls:
			kind := "created"
			if strings.Contains(h.body, "eactivated") {
				kind = "deactivated"
			}
			got[h.path+" "+kind] = h
		case <-time.After(30 * time.Second):
			t.Fatalf("got %v\n%s", got, p.logs)
		}
	}
	own := got["/own deactivated"]
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	signed := own.header.Get("webhook-id") + "." + own.header.Get("webhook-timestamp") + "." + own.body
	if want := "v1," + base64.StdEncoding.EncodeToString(sum(key, signed)); own.header.Get("webhook-signature") != want {
		t.Errorf("signed %s, want %s", own.header.Get("webhook-signature"), want)
	}
	all := got["/all deactivated"]
	for _, name := range []string{"BoxyHQ-Signature", "Ory-Polis-Signature"} {
		at, signature, _ := strings.Cut(strings.TrimPrefix(all.header.Get(name), "t="), ",s=")
		if signature != hex.EncodeToString(sum([]byte("secret"), at+"."+all.body)) {
			t.Errorf("%s: %s", name, all.header.Get(name))
		}
	}
	clientSecret := record["clientSecret"].(string)
	if !strings.HasPrefix(all.body, `{"event":"sso.deactivated","tenant":"`+testTenant+`","product":"`+testProduct+`","data":{`) || !strings.Contains(all.body, clientSecret) {
		t.Errorf("the endpoint of the installation was sent %s", all.body)
	}
	if strings.Contains(own.body, clientSecret) || strings.Contains(p.logs.String(), clientSecret) || strings.Contains(p.logs.String(), secret) {
		t.Error("a secret shows where it must not")
	}
	log := p.do(p.request(http.MethodGet, "/api/v1/events?project="+testProduct, nil, "Authorization", "Bearer "+adminKey))
	if strings.Contains(string(log.body), clientSecret) || log.json(t)["next"] != 2.0 {
		t.Errorf("%s", log.body)
	}
}

// An address of a private network is called only where the operator admits it.
func TestWebhooksReachNoPrivateAddress(t *testing.T) {
	called := make(chan hook, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- hook{path: r.URL.Path} }))
	t.Cleanup(receiver.Close)
	p := start(t, nil)
	record := p.connect(newIdP(t, "urn:private"), nil)
	var ids []string
	for _, address := range []string{receiver.URL, strings.Replace(receiver.URL, "http:", "https:", 1), "https://169.254.169.254/latest"} {
		made := p.mutate("createWebhookEndpoint", "CreateWebhookEndpointInput", "endpoint { id }", map[string]any{"projectId": p.projectID(testProduct), "url": address})
		ids = append(ids, made["endpoint"].(map[string]any)["id"].(string))
	}
	p.deactivate(record, true)
	for _, id := range ids {
		for try := 0; ; try++ {
			data := p.graphql(`query($id: ID!) { webhookEndpoint(id: $id) { deliveries { nodes { attempts error } } } }`, map[string]any{"id": id})
			nodes := data["webhookEndpoint"].(map[string]any)["deliveries"].(map[string]any)["nodes"].([]any)
			if len(nodes) == 1 && nodes[0].(map[string]any)["attempts"] != 0.0 {
				if why := nodes[0].(map[string]any)["error"]; !strings.HasPrefix(why.(string), "the address is not allowed: ") {
					t.Errorf("%s: %v", id, why)
				}
				break
			}
			if try == 300 {
				t.Fatalf("%v\n%s", nodes, p.logs)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	if len(called) > 0 {
		t.Error("it was called")
	}
}
