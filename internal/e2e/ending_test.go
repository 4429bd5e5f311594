package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
)

// A customer's directory is deleted: the application, which takes its time, hears of each person and group that they are gone,
// at the directory's own webhook, and then that goes as well.
func TestDeletedDirectoryIsToldToTheEnd(t *testing.T) {
	var mu sync.Mutex
	gone := map[string]int{}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			Event string
			Data  struct{ ID string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if body.Event == "user.deleted" || body.Event == "group.deleted" {
			gone[body.Data.ID]++
		}
	}))
	t.Cleanup(hook.Close)
	p := start(t, func(c *app.Config) { c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	d := p.newDirectory(object{"webhook_url": hook.URL, "webhook_secret": "hush"})
	want := map[string]int{}
	var members []object
	for n := range 40 {
		id := p.person(d, fmt.Sprint("p", n))
		want[id] = 1
		members = append(members, object{"value": id})
	}
	group := p.scim(d, http.MethodPost, "Groups", object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "All", "members": members})
	want[group.resource(t, http.StatusCreated)["id"].(string)] = 1
	p.admin(http.MethodDelete, "/api/v1/dsync/"+d["id"].(string), nil).data(t, 200)
	projectID := p.projectID(testProduct)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		left := p.graphql(`query($id: ID) { project(id: $id) { webhookEndpoints { totalCount } } }`, object{"id": projectID})["project"].(object)["webhookEndpoints"].(object)["totalCount"]
		mu.Lock()
		told := maps.Equal(gone, want)
		mu.Unlock()
		if told && left == 0.0 {
			return
		}
		if left == 0.0 || time.Now().After(end) {
			t.Fatalf("told of %d, want %d; endpoints left: %v", len(gone), len(want), left)
		}
	}
}
