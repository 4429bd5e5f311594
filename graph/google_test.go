package graph_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	adapter "github.com/portico-sso/portico/adapters/google"
	"github.com/portico-sso/portico/adapters/outbound"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/internal/googlefake"
)

// googleOptions has a workspace of Google stand behind the service.
func (w *world) googleOptions(o google.Options) google.Options {
	w.workspace = googlefake.New(w.t)
	at := w.workspace.URL
	o.Secret, o.PublicURL = []byte("secret"), publicURL
	o.Source = adapter.New(adapter.Options{ClientID: googlefake.ClientID, ClientSecret: googlefake.ClientSecret,
		AuthURL: at + "/auth", TokenURL: at + "/token", RevokeURL: at + "/revoke", APIURL: at,
		Send: outbound.New(outbound.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: 30 * time.Second})})
	return o
}

// openLink is an administrator who opens a link and consents.
func (w *world) openLink(address string) error {
	w.t.Helper()
	u, err := url.Parse(address)
	must(w.t, err)
	to, cookie, err := w.google.Authorize(w.t.Context(), u.Query().Get("link"), "", "")
	must(w.t, err)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(to)
	must(w.t, err)
	defer func() { _ = response.Body.Close() }()
	back, err := response.Location()
	must(w.t, err)
	return w.google.Finish(w.t.Context(), back.Query().Get("state"), back.Query().Get("code"), "", cookie)
}

const googleFields = `google { connected customerId domain connectedBy groups orgUnits failures error result { users groups written deleted refused } }`

func (w *world) googleOf(id, fields string) object {
	w.t.Helper()
	return at(w.t, w.run(`query($id: ID!) { directory(id: $id) { `+fields+` } }`, object{"id": id}), "directory", "google").(object)
}

func TestGoogleWorkspaces(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	d, _ := w.newDirectory(organizationID, object{"type": "GOOGLE"})
	w.workspace.Users = []googlefake.User{googlefake.Person("u1", "ada@acme.example", "Ada", "L", "/"), googlefake.Person("u2", "ada@acme.example", "Other", "A", "/")}
	w.workspace.Groups = []googlefake.Group{googlefake.Team("g1", "all@acme.example", "All")}
	nothing := object{"connected": false, "customerId": nil, "domain": nil, "connectedBy": nil, "groups": []any{}, "orgUnits": []any{}, "failures": 0, "error": nil, "result": nil}
	equal(t, "before", w.googleOf(d.ID, googleFields), nothing)
	equal(t, "before", w.googleOf(d.ID, "google { connectedAt beganAt endedAt syncedAt nextAt }"), object{"connectedAt": nil, "beganAt": nil, "endedAt": nil, "syncedAt": nil, "nextAt": nil})

	made := w.mutate("createGoogleConnectLink", "CreateGoogleConnectLinkInput", "url expiresAt", object{"directoryId": d.ID, "domain": "acme.example", "expiresInSeconds": 3600})
	address := made["url"].(string)
	if expires := made["expiresAt"].(string); !strings.HasPrefix(address, publicURL+"/api/scim/oauth/authorize?link=") || !strings.HasPrefix(expires, "2026-03-01T13:00:0") {
		t.Errorf("%s until %s", address, expires)
	}
	must(t, w.openLink(address))
	chosen := w.mutate("updateGoogleWorkspace", "UpdateGoogleWorkspaceInput", "directory { google { groups orgUnits } }",
		object{"directoryId": d.ID, "orgUnits": []string{"/"}})
	equal(t, "chosen", at(t, chosen, "directory", "google"), object{"groups": []any{}, "orgUnits": []any{"/"}})
	must(t, w.google.SyncDue(t.Context()))
	synced := object{"connected": true, "customerId": googlefake.Customer, "domain": "acme.example", "connectedBy": "root@acme.example", "groups": []any{}, "orgUnits": []any{"/"},
		"failures": 0, "error": nil, "result": object{"users": 2, "groups": 1, "written": 2, "deleted": 0, "refused": 1}}
	equal(t, "synced", w.googleOf(d.ID, googleFields), synced)
	when := w.googleOf(d.ID, "google { connectedAt beganAt endedAt syncedAt nextAt }")
	for _, name := range []string{"connectedAt", "beganAt", "endedAt", "syncedAt"} {
		if text, _ := when[name].(string); !strings.HasPrefix(text, "2026-03-01T12:0") {
			t.Errorf("%s is %s", name, text)
		}
	}
	if text, _ := when["nextAt"].(string); !strings.HasPrefix(text, "2026-03-01T12:3") {
		t.Errorf("the next one at %s", text)
	}

	w.workspace.Do(func() { w.workspace.Users = w.workspace.Users[:1] })
	w.workspace.Requests()
	must(t, w.google.SyncDue(t.Context()))
	if n := len(w.workspace.Requests()); n != 0 {
		t.Errorf("%d requests before its time", n)
	}
	asked := w.mutate("syncGoogleWorkspace", "SyncGoogleWorkspaceInput", "directory { google { nextAt } }", object{"directoryId": d.ID})
	if text := at(t, asked, "directory", "google", "nextAt").(string); !strings.HasPrefix(text, "2026-03-01T12:0") {
		t.Errorf("asked for now, due at %s", text)
	}
	must(t, w.google.SyncDue(t.Context()))
	equal(t, "at once", at(t, w.googleOf(d.ID, googleFields), "result", "users"), 1)

	w.workspace.Revoke()
	w.mutate("syncGoogleWorkspace", "SyncGoogleWorkspaceInput", "directory { id }", object{"directoryId": d.ID})
	must(t, w.google.SyncDue(t.Context()))
	failed := w.googleOf(d.ID, googleFields)
	equal(t, "failed", []any{failed["failures"], failed["error"], at(t, failed, "result", "users")}, []any{1, "Google no longer takes the connection. Connect the directory again.", 1})

	w.mutate("disconnectGoogleWorkspace", "DisconnectGoogleWorkspaceInput", "directory { id }", object{"directoryId": d.ID})
	kept := w.googleOf(d.ID, "google { connected customerId domain nextAt }")
	equal(t, "disconnected", kept, object{"connected": false, "customerId": googlefake.Customer, "domain": "acme.example", "nextAt": nil})
	w.mutate("disconnectGoogleWorkspace", "DisconnectGoogleWorkspaceInput", "directory { id }", object{"directoryId": d.ID, "forgetWorkspace": true})
	equal(t, "forgotten", w.googleOf(d.ID, "google { customerId domain }"), object{"customerId": nil, "domain": nil})
}

func TestGoogleRefusals(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	okta, _ := w.newDirectory(organizationID, object{"type": "OKTA"})
	d, _ := w.newDirectory(organizationID, object{"type": "GOOGLE"})
	equal(t, "of another type", w.run(`query($id: ID!) { directory(id: $id) { google { connected } } }`, object{"id": okta.ID}), object{"directory": object{"google": nil}})
	for _, c := range []struct {
		field, input string
		in           object
		code         string
		path         any
	}{
		{"createGoogleConnectLink", "CreateGoogleConnectLinkInput", object{"directoryId": "none"}, "not_found", []any{"input", "directoryId"}},
		{"createGoogleConnectLink", "CreateGoogleConnectLinkInput", object{"directoryId": okta.ID}, "not_google", nil},
		{"createGoogleConnectLink", "CreateGoogleConnectLinkInput", object{"directoryId": d.ID, "domain": "a b"}, "invalid", []any{"input", "domain"}},
		{"createGoogleConnectLink", "CreateGoogleConnectLinkInput", object{"directoryId": d.ID, "expiresInSeconds": 0}, "invalid", []any{"input", "expiresInSeconds"}},
		{"createGoogleConnectLink", "CreateGoogleConnectLinkInput", object{"directoryId": d.ID, "expiresInSeconds": 31 * 86400}, "invalid", []any{"input", "expiresInSeconds"}},
		{"updateGoogleWorkspace", "UpdateGoogleWorkspaceInput", object{"directoryId": okta.ID, "groups": []string{"a"}}, "not_google", nil},
		{"updateGoogleWorkspace", "UpdateGoogleWorkspaceInput", object{"directoryId": d.ID, "orgUnits": []string{"Sales"}}, "invalid", []any{"input", "orgUnits"}},
		{"syncGoogleWorkspace", "SyncGoogleWorkspaceInput", object{"directoryId": d.ID}, "not_connected", nil},
		{"disconnectGoogleWorkspace", "DisconnectGoogleWorkspaceInput", object{"directoryId": "none"}, "not_found", []any{"input", "directoryId"}},
	} {
		selection := "directory { id }"
		if c.field == "createGoogleConnectLink" {
			selection = "url"
		}
		_, wrong := w.try(c.field, c.input, selection, c.in)
		equal(t, c.field, []any{wrong["code"], wrong["path"]}, []any{c.code, c.path})
	}
}

// The endpoint of the installation gives up what it is told of a connection, and is sent it again: one, and a range.
func TestInstallationWebhook(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	w.receiver.status = 500
	c := w.connectionOf(w.organization(projectID, "acme"))
	must(t, w.sso.Delete(t.Context(), c.ID))
	for range 60 { // two deliveries, one behind the other
		w.tell()
		w.now = w.now.Add(30 * time.Hour)
		if w.now.After(time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)) {
			break
		}
	}
	const query = `{ installationWebhook { url failingSince deliveries { totalCount } deadLetters { totalCount nodes { id endpointId projectId position eventType event { type data } } } } }`
	got := at(t, w.run(query, nil), "installationWebhook").(object)
	dead := at(t, got, "deadLetters", "nodes", 0).(object)
	equal(t, "given up", []any{got["url"], dead["endpointId"], dead["projectId"], dead["position"], dead["eventType"]},
		[]any{"https://all.example.com", "installation", projectID, "1", "sso.created"})
	if got["failingSince"] == nil || !strings.Contains(fmt.Sprint(got), c.ClientID) || strings.Contains(fmt.Sprint(got), c.ClientSecret) {
		t.Errorf("%v", got)
	}
	w.receiver.status, w.receiver.calls = 200, nil
	w.mutate("replayWebhookDelivery", "ReplayWebhookDeliveryInput", "delivery { status }", object{"id": dead["id"]})
	w.tell()
	if n := len(w.receiver.calls); n == 0 {
		t.Error("it is not sent again")
	}
	w.now = w.now.Add(time.Hour)
	w.tell()
	calls := len(w.receiver.calls)
	w.mutate("replayWebhookDeliveries", "ReplayWebhookDeliveriesInput", "accepted", object{"endpointId": "installation", "projectId": projectID, "from": "1", "to": "2"})
	w.tell()
	if n := len(w.receiver.calls) - calls; n != 2 {
		t.Errorf("%d calls for a range of two", n)
	}
	_, wrong := w.try("replayWebhookDeliveries", "ReplayWebhookDeliveriesInput", "accepted", object{"endpointId": "installation", "from": "1", "to": "2"})
	equal(t, "without a project", wrong["path"], []any{"input", "projectId"})
}
