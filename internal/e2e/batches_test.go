package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
)

// TestWebhooksInBatches holds contract §3.4's batch mode: arrays in the order of events, signed as a whole, in both formats. One
// event that the receiver does not take keeps nobody's others back, and nothing is lost with it.
func TestWebhooksInBatches(t *testing.T) {
	const people, size = 30, 8
	calls := make(chan hook, 1000)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"poison@`) && strings.Contains(string(body), `"user.created"`) && strings.Count(string(body), `"event":`) > 1 {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		calls <- hook{r.URL.Path, r.Header, string(body)}
	}))
	t.Cleanup(receiver.Close)
	p := start(t, func(c *app.Config) { c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	d := p.newDirectory(nil)
	keys := map[string]string{}
	for _, format := range []string{"POLIS", "STANDARD"} {
		made := p.mutate("createWebhookEndpoint", "CreateWebhookEndpointInput", "endpoint { id } secret",
			object{"projectId": p.projectID(testProduct), "url": receiver.URL + "/" + format, "format": format, "batchSize": size})
		keys["/"+format] = made["secret"].(string)
	}
	operations := []object{}
	for i := range people {
		name := fmt.Sprintf("p%d@acme.example", i)
		if i == people/2 {
			name = "poison@acme.example"
		}
		operations = append(operations, object{"method": "POST", "path": "/Users", "bulkId": name,
			"data": object{"schemas": []string{userSchema}, "userName": name, "active": true}})
	}
	made := p.scim(d, http.MethodPost, "Bulk", object{"schemas": []string{bulkSchema}, "Operations": operations}).resource(t, http.StatusOK)
	operations = nil
	for _, o := range made["Operations"].([]any) {
		location := o.(object)["location"].(string)
		operations = append(operations, object{"method": "PATCH", "path": "/Users/" + location[strings.LastIndex(location, "/")+1:],
			"data": object{"schemas": []string{patchSchema}, "Operations": []object{{"op": "replace", "path": "active", "value": false}}}})
	}
	p.scim(d, http.MethodPost, "Bulk", object{"schemas": []string{bulkSchema}, "Operations": operations}).resource(t, http.StatusOK)

	got, batched := map[string]map[string][]string{"/POLIS": {}, "/STANDARD": {}}, map[string]bool{}
	finished := func(path string) bool {
		n := 0
		for _, kinds := range got[path] {
			n += len(kinds)
		}
		return n >= 2*people
	}
	for !finished("/POLIS") || !finished("/STANDARD") {
		select {
		case h := <-calls:
			list := signedBatch(t, h, keys[h.path])
			if len(list) == 0 || len(list) > size {
				t.Errorf("%s: a batch of %d", h.path, len(list))
			}
			batched[h.path] = batched[h.path] || len(list) > 1
			for _, e := range list {
				if kind, ok := e["event"].(string); ok {
					person := e["data"].(object)["email"].(string)
					got[h.path][person] = append(got[h.path][person], kind)
				} else if e["resourceType"] == "identity" { // and the event of the directory
					person := e["resourceId"].(string)
					got[h.path][person] = append(got[h.path][person], e["type"].(string))
				}
			}
		case <-time.After(40 * time.Second):
			t.Fatalf("got %v\n%s", got, p.logs)
		}
	}
	for path, want := range map[string][]string{"/POLIS": {"user.created", "user.updated"}, "/STANDARD": {"IdentityCreated", "IdentityUpdated"}} {
		for person, kinds := range got[path] {
			if !slices.Equal(kinds, want) {
				t.Errorf("%s of %s: %v", path, person, kinds)
			}
		}
		if len(got[path]) != people || !batched[path] {
			t.Errorf("%s: %d people, in batches: %t", path, len(got[path]), batched[path])
		}
	}
}

// signedBatch checks all signatures of a call, and reads its events.
func signedBatch(t *testing.T, h hook, secret string) (list []object) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	standard := sum(key, h.header.Get("webhook-id")+"."+h.header.Get("webhook-timestamp")+"."+h.body)
	if got := h.header.Get("webhook-signature"); got != "v1,"+base64.StdEncoding.EncodeToString(standard) {
		t.Errorf("signed %s", got)
	}
	for _, name := range []string{"BoxyHQ-Signature", "Ory-Polis-Signature"} {
		at, signature, _ := strings.Cut(strings.TrimPrefix(h.header.Get(name), "t="), ",s=")
		if signature != hex.EncodeToString(sum([]byte(secret), at+"."+h.body)) {
			t.Errorf("%s: %s", name, h.header.Get(name))
		}
	}
	if err := json.Unmarshal([]byte(h.body), &list); err != nil {
		t.Errorf("%s is no array of objects: %v", h.body, err)
	}
	return list
}
