package events

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/pypi"
)

// standardWebhooks is the library of Standard Webhooks for Python with what it needs.
const standardWebhooks = `standardwebhooks==1.0.0
anyio==4.16.0
attrs==26.1.0
certifi==2026.10.19.post1
deprecated==1.3.1
h11==0.16.0
httpcore==1.0.9
httpx==0.28.1
idna==3.20
python-dateutil==4.0.0
types-Deprecated==1.3.1.20260928
types-python-dateutil==2.9.0.20261116
typing-extensions==4.16.0
tzdata==2026.6
wrapt==2.5.2
`

// The vector of the contract, §13.3.
func TestPolisSignatureVector(t *testing.T) {
	const want = "t=1657016083300,s=b129a5b043c85af495a9126ade750751771d55859bd3a621d00ce0d883917851"
	if got := polisSignature("secret", 1657016083300, []byte(`{"a":1}`)); got != want {
		t.Errorf("got %s", got)
	}
}

// What JavaScript writes again of it is what is sent: the right sides are what node 20 says to JSON.stringify(JSON.parse(…)).
func TestPolisPayloadsAreAsJavaScriptWritesThem(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":"R\u0026D \u003cb\u003e","z":"\u2028\b\u0001\u007f\/\""}`:                            "{\"a\":\"R&D <b>\",\"z\":\"\u2028\\b\\u0001\x7f/\\\"\"}",
		`{"b":1.0,"10":1E5,"2":-0,"01":1e21,"4294967295":1e-7,"n":12345678901234567890,"m":1e400}`: `{"2":0,"10":100000,"b":1,"01":1e+21,"4294967295":1e-7,"n":12345678901234567000,"m":null}`,
		`[ {"c":{"b":[], "a":{}}} , null, true, 0.000001, 100000000000000000000, "\u00e9" ]`:       `[{"c":{"b":[],"a":{}}},null,true,0.000001,100000000000000000000,"é"]`,
	} {
		event := Event{Polis: PolisUserCreated, Data: json.RawMessage(body)}
		want = `{"event":"user.created","tenant":"","product":"","data":` + want + `}`
		if got := string(Endpoint{Format: Polis}.Payload([]Event{event})); got != want {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
}

// The vector of the specification of Standard Webhooks' libraries.
func TestStandardSignatureVector(t *testing.T) {
	s := Secret{Value: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := s.standardSignature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`)); got != want {
		t.Errorf("got %s", got)
	}
	if key := (Secret{Value: "plain"}).key(); string(key) != "plain" {
		t.Errorf("a secret of another kind is %q", key)
	}
}

var golden = []struct {
	name  string
	event Event
}{
	{"user.created", Event{Type: IdentityCreated, Polis: PolisUserCreated, ResourceType: "identity", ResourceID: "u1", Seq: 1, IdentityActive: ptr(true), ScimClient: "okta",
		Data: json.RawMessage(`{"id":"u1","first_name":"Ann","last_name":"Smith","email":"ann@acme.example","active":true,"raw":{"userName":"ann <a&b>"}}`)}},
	{"user.updated", Event{Type: IdentityUpdated, Polis: PolisUserUpdated, ResourceType: "identity", ResourceID: "u1", Seq: 2, IdentityActive: ptr(false),
		Data: json.RawMessage(`{"id":"u1","first_name":"","last_name":"","email":"ann@acme.example","active":false,"roles":["a"],"raw":{}}`)}},
	{"user.deleted", Event{Type: IdentityDeleted, Polis: PolisUserDeleted, ResourceType: "identity", ResourceID: "u1", Seq: 3, Data: json.RawMessage(`{"id":"u1","first_name":"","last_name":"","email":"","active":false,"raw":{}}`)}},
	{"group.created", Event{Type: GroupCreated, Polis: PolisGroupCreated, ResourceType: "group", ResourceID: "g1", Seq: 1, Data: json.RawMessage(`{"id":"g1","name":"Devs","raw":{"members":[]}}`)}},
	{"group.updated", Event{Type: GroupUpdated, Polis: PolisGroupUpdated, ResourceType: "group", ResourceID: "g1", Seq: 2, Data: json.RawMessage(`{"id":"g1","name":"Devs","raw":{}}`)}},
	{"group.deleted", Event{Type: GroupDeleted, Polis: PolisGroupDeleted, ResourceType: "group", ResourceID: "g1", Seq: 3, Data: json.RawMessage(`{"id":"g1","name":"Devs","raw":{}}`)}},
	{"group.user_added", Event{Type: IdentityUpdated, Polis: PolisGroupUserAdded, ResourceType: "identity", ResourceID: "u1", Seq: 4,
		Data: json.RawMessage(`{"id":"u1","first_name":"","last_name":"","email":"","active":true,"raw":{},"group":{"id":"g1","name":"Devs","raw":{}}}`)}},
	{"group.user_removed", Event{Polis: PolisGroupUserRemoved}}, // without data, as Polis sends it of a user that it does not know
	{"sso.created", Event{Type: ConnectionCreated, Polis: PolisSSOCreated, ResourceType: "connection", ResourceID: "c1", Seq: 1, Data: json.RawMessage(`{"id":"c1"}`),
		PolisData: json.RawMessage(`{"name":"n","description":"","clientID":"i","clientSecret":"s","provider":"p","friendlyProviderName":null}`)}},
	{"sso.activated", Event{Type: ConnectionActivated, Polis: PolisSSOActivated, Data: json.RawMessage(`{}`)}},
	{"sso.deactivated", Event{Type: ConnectionDeactivated, Polis: PolisSSODeactivated, Data: json.RawMessage(`{}`)}},
	{"sso.deleted", Event{Type: ConnectionDeleted, Polis: PolisSSODeleted, Data: json.RawMessage(`{}`)}},
	{"dsync.created", Event{Type: DirectoryCreated, Polis: PolisDirectoryCreated, Data: json.RawMessage(`{"id":"d1","name":"n","type":"okta-scim-v2"}`)}},
	{"dsync.activated", Event{Type: DirectoryActivated, Polis: PolisDirectoryActivated, Data: json.RawMessage(`{}`)}},
	{"dsync.deactivated", Event{Type: DirectoryDeactivated, Polis: PolisDirectoryDeactivated, Data: json.RawMessage(`{}`)}},
	{"dsync.deleted", Event{Type: DirectoryDeleted, Polis: PolisDirectoryDeleted, Data: json.RawMessage(`{}`)}},
}

// TestGoldenPayloads holds the body of every kind of event in both formats. UPDATE_GOLDEN=1 writes them anew.
func TestGoldenPayloads(t *testing.T) {
	if len(golden) != len(PolisTypes) {
		t.Errorf("%d of %d kinds are tried", len(golden), len(PolisTypes))
	}
	var text strings.Builder
	for i, c := range golden {
		e := c.event
		if e.Polis != c.name {
			t.Errorf("%s is called %s", e.Polis, c.name)
		}
		e.ID, e.ProjectID, e.OrganizationID, e.DirectoryID = "e"+strconv.Itoa(i+1), "p1", "o1", "d1"
		e.Product, e.Tenant, e.Position, e.Time = "shop", "acme", int64(i+1), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for _, format := range []Format{Polis, Standard} {
			text.Write(Endpoint{Format: format}.Payload([]Event{e}))
			text.WriteByte('\n')
		}
		if i == 0 {
			text.Write(Endpoint{Format: Polis, BatchSize: 5}.Payload([]Event{e}))
			text.WriteByte('\n')
		}
	}
	file := filepath.Join("testdata", "payloads.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, expected := strings.Split(text.String(), "\n"), strings.Split(string(want), "\n")
	if len(got) != len(expected) {
		t.Errorf("%d lines, want %d", len(got), len(expected))
	}
	for i := range min(len(got), len(expected)) {
		if got[i] != expected[i] {
			t.Errorf("line %d\n got %s\nwant %s", i+1, got[i], expected[i])
		}
	}
}

// While two secrets live, both sign what Standard Webhooks reads, and Polis's headers are of the one known longer.
func TestRotation(t *testing.T) {
	b := newBench(t)
	s := b.service()
	e := b.endpoint(s, Input{Secret: ptr("first secret")})
	e, err := s.RotateSecret(t.Context(), e.ID, nil, time.Hour)
	b.must(err)
	if len(e.Secrets) != 2 || !strings.HasPrefix(e.Secrets[1].Value, whsec) {
		t.Fatalf("%+v", e.Secrets)
	}
	send := func() map[string]string {
		b.write(s, user("ann"+b.now().String(), 1))
		b.tell(s)
		q := b.taken[len(b.taken)-1]
		at, _ := strconv.ParseInt(q.Header["webhook-timestamp"], 10, 64)
		var want []string
		for i := range e.live(b.now()) {
			want = append([]string{e.live(b.now())[i].standardSignature(q.Header["webhook-id"], at, q.Body)}, want...)
		}
		if got := q.Header["webhook-signature"]; got != strings.Join(want, " ") {
			t.Errorf("signed %q, want %q", got, want)
		}
		if polis := polisSignature(e.live(b.now())[0].Value, b.now().UnixMilli(), q.Body); q.Header["BoxyHQ-Signature"] != polis || q.Header["Ory-Polis-Signature"] != polis {
			t.Errorf("Polis's headers: %v, want %s", q.Header, polis)
		}
		return q.Header
	}
	if n := len(strings.Fields(send()["webhook-signature"])); n != 2 {
		t.Errorf("%d signatures", n)
	}
	b.move(time.Hour)
	if n := len(strings.Fields(send()["webhook-signature"])); n != 1 {
		t.Errorf("%d signatures behind the overlap", n)
	}
	for range 3 { // never more than two
		if e, err = s.RotateSecret(t.Context(), e.ID, nil, time.Hour); err != nil || len(e.Secrets) != 2 {
			t.Errorf("%d secrets, %v", len(e.Secrets), err)
		}
	}
	if e, err = s.SetSecret(t.Context(), e.ID, "only"); err != nil || len(e.Secrets) != 1 || e.Secrets[0].Value != "only" {
		t.Errorf("%+v, %v", e.Secrets, err)
	}
	if key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.newSecret(), whsec)); err != nil || len(key) != secretBytes {
		t.Errorf("a secret of ours has %d bytes, %v", len(key), err)
	}
}

// The library of Standard Webhooks for Python, which others wrote, takes what we sign, and nothing else.
func TestStandardWebhooksLibrary(t *testing.T) {
	if testing.Short() {
		t.Skip("installs a package")
	}
	python := pypi.Install(t, standardWebhooks)
	b := newBench(t)
	b.clock.Store(time.Now().UnixMilli()) // the library looks at its own clock
	s := b.service()
	e := b.endpoint(s, Input{})
	e, err := s.RotateSecret(t.Context(), e.ID, nil, time.Hour)
	b.must(err)
	b.write(s, user("ann", 1))
	b.tell(s)
	q := b.taken[0]
	const program = `import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
q = json.load(sys.stdin)
for secret in q["secrets"]:
    assert Webhook(secret).verify(q["body"], q["headers"])["resourceId"] == "ann"
for body, secret in ((q["body"] + " ", q["secrets"][0]), (q["body"], "whsec_" + "A" * 40 + "AAA=")):
    try:
        Webhook(secret).verify(body, q["headers"])
    except WebhookVerificationError:
        continue
    raise SystemExit("a forged one is taken")
print("verified")
`
	in, err := json.Marshal(map[string]any{"secrets": []string{e.Secrets[0].Value, e.Secrets[1].Value}, "headers": q.Header, "body": string(q.Body)})
	b.must(err)
	run := python("-c", program)
	run.Stdin = strings.NewReader(string(in))
	if out, err := run.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "verified" {
		t.Errorf("%v\n%s", err, out)
	}
}
