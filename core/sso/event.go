package sso

import (
	"encoding/json"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/ports/store"
)

// connectionEvent is what an event tells of a connection.
type connectionEvent struct {
	ID          string `json:"id"`
	ClientID    string `json:"clientId"`
	Name        string `json:"name,omitempty"`
	Label       string `json:"label,omitempty"`
	Description string `json:"description,omitempty"`
	Protocol    string `json:"protocol"`
	Provider    string `json:"provider"`
	Active      bool   `json:"active"`
}

// polisEvent is what Polis's global webhook tells of one: the client secret is in it (contract §8).
type polisEvent struct {
	Name         string  `json:"name,omitempty"`
	Description  string  `json:"description,omitempty"`
	ClientID     string  `json:"clientID"`
	ClientSecret string  `json:"clientSecret"`
	Provider     string  `json:"provider"`
	Friendly     *string `json:"friendlyProviderName,omitempty"`
}

// tell is the operation that tells of a change, for its commit. It numbers the event in c, so make it before c's own.
func (s *Service) tell(c *Connection, kind, polis string) store.Op {
	c.EventSeq++
	e := events.Event{Type: kind, Polis: polis, OrganizationID: c.OrganizationID, ResourceType: "connection", ResourceID: c.ID,
		Seq: c.EventSeq, Product: c.Product, Tenant: c.Tenant}
	e.Data = asJSON(connectionEvent{ID: c.ID, ClientID: c.ClientID, Name: c.Name, Label: c.Label, Description: c.Description,
		Protocol: c.Protocol(), Provider: c.Provider(), Active: c.Active()})
	p := polisEvent{Name: c.Name, Description: c.Description, ClientID: c.ClientID, ClientSecret: c.ClientSecret, Provider: c.Provider()}
	if name := FriendlyProvider(c.Provider()); c.OIDC == nil && name != "" {
		p.Friendly = &name
	}
	e.PolisData = asJSON(p)
	return s.Events.Outbox(c.ProjectID, e)
}

func asJSON(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic("sso: an event cannot be written as JSON: " + err.Error()) // a type we declared ourselves
	}
	return text
}

// putEvent tells of a connection that is made, or put in the place of one that was. Polis calls both sso.created.
func (s *Service) putEvent(was Connection, c *Connection) []store.Op {
	switch {
	case was.ID == "":
		return []store.Op{s.tell(c, events.ConnectionCreated, events.PolisSSOCreated)}
	case was.Active() == c.Active():
		return []store.Op{s.tell(c, "", events.PolisSSOCreated)}
	}
	return s.activityEvent(was, c)
}

// activityEvent tells of a connection that people may sign in through from now on, or no longer.
func (s *Service) activityEvent(was Connection, c *Connection) []store.Op {
	switch {
	case was.Active() == c.Active():
		return nil
	case c.Active():
		return []store.Op{s.tell(c, events.ConnectionActivated, events.PolisSSOActivated)}
	}
	return []store.Op{s.tell(c, events.ConnectionDeactivated, events.PolisSSODeactivated)}
}
