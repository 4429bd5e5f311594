package events

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/id"
)

// polisBody is an event as Polis sends it (contract §3.4, §8).
type polisBody struct {
	Event       string          `json:"event"`
	Tenant      string          `json:"tenant"`
	Product     string          `json:"product"`
	DirectoryID string          `json:"directory_id,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
}

// Envelope is an event in the standard format: what docs/events.md describes, of webhooks and of the events API.
type Envelope struct {
	ID             string          `json:"id"`
	Type           string          `json:"type"`
	Position       int64           `json:"position"`
	Time           time.Time       `json:"time"`
	Project        string          `json:"project"`
	Organization   string          `json:"organization,omitempty"`
	Directory      string          `json:"directory,omitempty"`
	ResourceType   string          `json:"resourceType,omitempty"`
	ResourceID     string          `json:"resourceId,omitempty"`
	Seq            int64           `json:"seq,omitempty"`
	ScimClient     string          `json:"scimClient,omitempty"`
	IdentityActive *bool           `json:"identityActive,omitempty"`
	Data           json.RawMessage `json:"data"`
}

// Envelope gives the event in the standard format. An event that only Polis knows has the type that Polis gives it.
func (e Event) Envelope() Envelope {
	v := Envelope{ID: e.ID, Type: e.Type, Position: e.Position, Time: e.Time, Project: e.ProjectID, Organization: e.OrganizationID,
		Directory: e.DirectoryID, ResourceType: e.ResourceType, ResourceID: e.ResourceID, Seq: e.Seq, ScimClient: e.ScimClient,
		IdentityActive: e.IdentityActive, Data: e.Data}
	if v.Type == "" {
		v.Type = e.Polis
	}
	if v.Data == nil {
		v.Data = json.RawMessage("null")
	}
	return v
}

func (e Event) polis() polisBody {
	b := polisBody{Event: e.Polis, Tenant: e.Tenant, Product: e.Product, Data: e.Data}
	if e.PolisData != nil {
		b.Data = e.PolisData
	}
	if strings.HasPrefix(e.Polis, "user.") || strings.HasPrefix(e.Polis, "group.") {
		b.DirectoryID = e.DirectoryID
	}
	return b
}

// Payload is what an endpoint is sent of events: an object, or with a batch size an array. In Polis's format it is what
// JavaScript writes of it.
func (e Endpoint) Payload(list []Event) []byte {
	bodies := make([]any, len(list))
	for i, event := range list {
		if e.Format == Polis {
			bodies[i] = event.polis()
		} else {
			bodies[i] = event.Envelope()
		}
	}
	var payload any = bodies
	if e.BatchSize == 0 && len(bodies) == 1 {
		payload = bodies[0]
	}
	if e.Format == Polis {
		return stringified(encode(payload))
	}
	return encode(payload)
}

func encode(v any) []byte {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(v); err != nil {
		panic("events: a payload cannot be written as JSON: " + err.Error()) // what was read as JSON
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// whsec begins the secrets of Standard Webhooks: behind it the key is base64. Any other secret is the key as it is.
const whsec = "whsec_"

func (s Secret) key() []byte {
	if encoded, ok := strings.CutPrefix(s.Value, whsec); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return key
		}
	}
	return []byte(s.Value)
}

func mac(key []byte, text string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Write(body)
	return h.Sum(nil)
}

// polisSignature is the value of Polis's headers (contract §3.4): at is in milliseconds.
func polisSignature(secret string, at int64, body []byte) string {
	t := strconv.FormatInt(at, 10)
	return "t=" + t + ",s=" + hex.EncodeToString(mac([]byte(secret), t+".", body))
}

// standardSignature is one of the signatures of Standard Webhooks 1.0 (symmetric scheme): at is in seconds.
func (s Secret) standardSignature(messageID string, at int64, body []byte) string {
	return "v1," + base64.StdEncoding.EncodeToString(mac(s.key(), messageID+"."+strconv.FormatInt(at, 10)+".", body))
}

// headers sign a payload in both ways. Standard Webhooks has room for the signatures of all secrets that live; a receiver of
// Polis's headers expects one, which is that of the oldest: the one that it knows already.
func (e Endpoint) headers(messageID string, now time.Time, body []byte) map[string]string {
	live := e.live(now)
	signatures := make([]string, len(live))
	for i, s := range live {
		signatures[len(live)-1-i] = s.standardSignature(messageID, now.Unix(), body)
	}
	polis := polisSignature(live[0].Value, now.UnixMilli(), body)
	return map[string]string{
		"Content-Type": "application/json", "BoxyHQ-Signature": polis, "Ory-Polis-Signature": polis,
		"webhook-id": messageID, "webhook-timestamp": strconv.FormatInt(now.Unix(), 10), "webhook-signature": strings.Join(signatures, " "),
	}
}

// messageID is the same each time the same events are sent, so that a receiver knows them again.
func messageID(list []Event) string {
	if len(list) == 1 {
		return list[0].ID
	}
	ids := make([]string, len(list))
	for i, e := range list {
		ids[i] = e.ID
	}
	return "batch_" + id.Hash(ids...)
}
