package graph_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/portico-sso/portico/adapters/saml"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/outbound"
)

// receiver is where endpoints are: it answers with a status.
type receiver struct {
	mu     sync.Mutex
	status int
	calls  []outbound.Request
}

func (r *receiver) Send(_ context.Context, q outbound.Request) (outbound.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, q)
	return outbound.Answer{Status: r.status}, nil
}

// connectionOf makes a connection of an organization.
func (w *world) connectionOf(organizationID string) sso.Connection {
	w.t.Helper()
	idp, err := saml.New().ReadMetadata([]byte(metadata("https://idp.example.com/"+organizationID, certificate(w.t, "idp", w.now.AddDate(1, 0, 0)))))
	must(w.t, err)
	c, err := w.sso.Put(w.t.Context(), organizationID, sso.Connection{Name: "ours", IdentityProvider: idp}, false)
	must(w.t, err)
	return c
}

func (w *world) tell() {
	w.t.Helper()
	must(w.t, w.events.Relay(w.t.Context()))
	must(w.t, w.events.Leases.Run(w.t.Context()))
	must(w.t, w.events.Deliver(w.t.Context()))
}

func TestEventsOfConnections(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	organizationID := w.organization(projectID, "acme")
	c := w.connectionOf(organizationID)
	for _, off := range []bool{true, true, false} { // the second changes nothing
		_, err := w.sso.Update(t.Context(), c.ID, func(c *sso.Connection) error { c.Deactivated = &off; return nil })
		must(t, err)
	}
	must(t, w.sso.Delete(t.Context(), c.ID))
	w.tell()
	const query = `query($id: ID, $after: String, $types: [String!]) { project(id: $id) { events(first: 3, after: $after, types: $types) {
		nodes { type position seq resourceType resourceId organizationId data } next hasNextPage } } }`
	first := at(t, w.run(query, object{"id": projectID}), "project", "events").(object)
	equal(t, "there is more", []any{first["next"], first["hasNextPage"]}, []any{"3", true})
	rest := at(t, w.run(query, object{"id": projectID, "after": "3"}), "project", "events").(object)
	var types []any
	for i, e := range append(first["nodes"].([]any), rest["nodes"].([]any)...) {
		types = append(types, at(t, e, "type"))
		equal(t, "resource and order", []any{at(t, e, "resourceId"), at(t, e, "seq"), at(t, e, "position"), at(t, e, "organizationId")},
			[]any{c.ID, string(rune('1' + i)), string(rune('1' + i)), organizationID})
		if data := fmt.Sprint(at(t, e, "data")); strings.Contains(data, c.ClientSecret) || at(t, e, "data", "clientId") != c.ClientID {
			t.Errorf("data %s", data)
		}
	}
	equal(t, "types", types, []any{events.ConnectionCreated, events.ConnectionDeactivated, events.ConnectionActivated, events.ConnectionDeleted})
	equal(t, "by type", len(at(t, w.run(query, object{"id": projectID, "types": []any{"sso.deleted"}}), "project", "events", "nodes").([]any)), 0)
	for code, variables := range map[string]object{"invalid_cursor": {"after": "99"}, "invalid": {"types": []any{"IdentityMade"}}} {
		variables["id"] = projectID
		if a := w.send(query, variables); len(a.Errors) != 1 || a.Errors[0].Extensions.Code != code {
			t.Errorf("%v: %+v", variables, a.Errors)
		}
	}
	// The endpoint of the installation is told as Polis does, client secret included.
	var bodies []string
	for _, q := range w.receiver.calls {
		bodies = append(bodies, string(q.Body))
	}
	if len(bodies) != 4 || !strings.HasPrefix(bodies[0], `{"event":"sso.created","tenant":"acme","product":"shop","data":{"name":"ours",`) ||
		!strings.Contains(bodies[3], `"sso.deleted"`) || !strings.Contains(bodies[0], `"clientSecret":"`+c.ClientSecret+`"`) {
		t.Errorf("%q", bodies)
	}
}

func TestWebhookEndpoints(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	organizationID := w.organization(projectID, "acme")
	const fields = "endpoint { id url format types batchSize active signingKeys deactivatedReason failingSince organizationId description } secret"
	made := w.mutate("createWebhookEndpoint", "CreateWebhookEndpointInput", fields,
		object{"projectId": projectID, "organizationId": organizationID, "url": "https://r.example/hook", "types": []any{"ConnectionCreated"}, "description": "ours"})
	id := at(t, made, "endpoint", "id").(string)
	if secret := made["secret"].(string); !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("secret %q", secret)
	}
	equal(t, "made", made["endpoint"], object{"id": id, "url": "https://r.example/hook", "format": "STANDARD", "types": []any{"ConnectionCreated"}, "batchSize": 0,
		"active": true, "signingKeys": 1, "deactivatedReason": nil, "failingSince": nil, "organizationId": organizationID, "description": "ours"})
	changed := w.mutate("updateWebhookEndpoint", "UpdateWebhookEndpointInput", fields, object{"id": id, "format": "POLIS", "batchSize": 5, "types": []any{}})
	equal(t, "changed", []any{at(t, changed, "endpoint", "format"), at(t, changed, "endpoint", "batchSize"), changed["secret"]}, []any{"POLIS", 5, nil})
	rotated := w.mutate("rotateWebhookSecret", "RotateWebhookSecretInput", fields, object{"id": id, "overlapSeconds": 3600})
	equal(t, "two secrets", at(t, rotated, "endpoint", "signingKeys"), 2)
	if rotated["secret"] == made["secret"] || rotated["secret"] == nil {
		t.Errorf("the new secret is %v", rotated["secret"])
	}
	otherProject := w.project("other")
	other := w.organization(otherProject, "acme")
	own, _ := w.newDirectory(organizationID, nil)
	foreign, _ := w.newDirectory(other, nil)
	beside, _ := w.newDirectory(w.organization(projectID, "beside"), nil)
	for name, c := range map[string]struct {
		in   object
		path []any
	}{
		"no project":                   {object{"projectId": "none", "url": "https://r.example"}, []any{"input", "projectId"}},
		"organization":                 {object{"projectId": projectID, "organizationId": other, "url": "https://r.example"}, []any{"input", "organizationId"}},
		"no directory":                 {object{"projectId": projectID, "directoryId": "none", "url": "https://r.example"}, []any{"input", "directoryId"}},
		"directory of another project": {object{"projectId": projectID, "directoryId": foreign.ID, "url": "https://r.example"}, []any{"input", "directoryId"}},
		"directory of another organization": {object{"projectId": projectID, "organizationId": organizationID, "directoryId": beside.ID, "url": "https://r.example"},
			[]any{"input", "directoryId"}},
		"url":    {object{"projectId": projectID, "url": "gopher://r.example"}, []any{"input", "url"}},
		"type":   {object{"projectId": projectID, "url": "https://r.example", "types": []any{"x"}}, []any{"input", "types"}},
		"secret": {object{"projectId": projectID, "url": "https://r.example", "secret": "whsec_?"}, []any{"input", "secret"}},
	} {
		_, wrong := w.try("createWebhookEndpoint", "CreateWebhookEndpointInput", "secret", c.in)
		equal(t, name, wrong["path"], c.path)
	}
	equal(t, "listed", at(t, w.run(`query($id: ID) { project(id: $id) { webhookEndpoints { totalCount nodes { id } } } }`, object{"id": projectID}), "project", "webhookEndpoints"),
		object{"totalCount": 1, "nodes": []any{object{"id": id}}})
	narrow := w.mutate("createWebhookEndpoint", "CreateWebhookEndpointInput", "endpoint { id directoryId }",
		object{"projectId": projectID, "organizationId": organizationID, "directoryId": own.ID, "url": "https://r.example/directory"})["endpoint"].(object)
	equal(t, "of the directory", narrow["directoryId"], own.ID)
	for of, want := range map[string][]any{
		`project(id: "` + projectID + `")`: {narrow["id"], id}, `organization(id: "` + organizationID + `")`: {id}, `directory(id: "` + own.ID + `")`: {narrow["id"]},
		`directory(id: "` + beside.ID + `")`: {}, `project(id: "` + otherProject + `")`: {},
	} {
		list := at(t, w.run("{ of: "+of+" { webhookEndpoints { totalCount nodes { id } } } }", nil), "of", "webhookEndpoints").(object)
		var got []any
		for _, n := range list["nodes"].([]any) {
			got = append(got, at(t, n, "id"))
		}
		equal(t, of, []any{list["totalCount"], len(got)}, []any{len(want), len(want)})
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", of, got, want)
		}
	}
	w.mutate("deleteWebhookEndpoint", "DeleteWebhookEndpointInput", "deletedId", object{"id": id})
	equal(t, "gone", w.run(`query($id: ID!) { webhookEndpoint(id: $id) { id } }`, object{"id": id}), object{"webhookEndpoint": nil})
}

func TestDeadLettersAndReplay(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	made := w.mutate("createWebhookEndpoint", "CreateWebhookEndpointInput", "endpoint { id }", object{"projectId": projectID, "url": "https://r.example/hook"})
	id := at(t, made, "endpoint", "id").(string)
	w.receiver.status = 500
	c := w.connectionOf(w.organization(projectID, "acme"))
	must(t, w.sso.Delete(t.Context(), c.ID))
	w.tell()
	const query = `query($id: ID!) { webhookEndpoint(id: $id) { failingSince deliveries { totalCount nodes { id status attempts held responseStatus error nextAttemptAt lastAttemptAt durationMs
		eventType position event { type } } } deadLetters { totalCount nodes { id } } } }`
	got := at(t, w.run(query, object{"id": id}), "webhookEndpoint").(object)
	second, first := at(t, got, "deliveries", "nodes", 0).(object), at(t, got, "deliveries", "nodes", 1).(object)
	equal(t, "the first", []any{first["status"], first["attempts"], first["held"], first["responseStatus"], first["error"], first["eventType"], at(t, first, "event", "type")},
		[]any{"PENDING", 1, false, 500, "the endpoint answered with another status than 200 to 299", "ConnectionCreated", "ConnectionCreated"})
	equal(t, "the second waits", []any{second["status"], second["attempts"], second["held"], second["nextAttemptAt"]}, []any{"PENDING", 0, true, nil})
	if got["failingSince"] == nil || first["nextAttemptAt"] == nil || first["lastAttemptAt"] == nil {
		t.Errorf("%v", got)
	}
	_, wrong := w.try("replayWebhookDelivery", "ReplayWebhookDeliveryInput", "delivery { id }", object{"id": second["id"]})
	equal(t, "one that is held", wrong["code"], "held")
	for range events.Again {
		w.now = w.now.Add(events.Again[len(events.Again)-1] * 2)
		w.tell()
	}
	got = at(t, w.run(query, object{"id": id}), "webhookEndpoint").(object)
	equal(t, "dead letters", got["deadLetters"], object{"totalCount": 1, "nodes": []any{object{"id": first["id"]}}})
	w.receiver.status, w.receiver.calls = 200, nil
	w.mutate("replayWebhookDelivery", "ReplayWebhookDeliveryInput", "delivery { status }", object{"id": first["id"]})
	w.now = w.now.Add(events.Again[len(events.Again)-1] * 2)
	w.tell()
	got = at(t, w.run(query, object{"id": id}), "webhookEndpoint").(object)
	for i := range 2 {
		equal(t, "delivered", at(t, got, "deliveries", "nodes", i, "status"), "DELIVERED")
	}
	calls := len(w.receiver.calls)
	w.mutate("replayWebhookDeliveries", "ReplayWebhookDeliveriesInput", "accepted", object{"endpointId": id, "from": "1", "to": "2"})
	w.tell()
	if n := len(w.receiver.calls) - calls; n != 2 {
		t.Errorf("%d calls for a range of two", n)
	}
	for _, in := range []object{{"endpointId": id, "from": "x", "to": "2"}, {"endpointId": id, "from": "2", "to": "1"}, {"endpointId": "none", "from": "1", "to": "2"}} {
		if _, wrong := w.try("replayWebhookDeliveries", "ReplayWebhookDeliveriesInput", "accepted", in); wrong == nil {
			t.Errorf("%v is accepted", in)
		}
	}
}
