package dirsync

import (
	"slices"
	"time"

	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Directory is one SCIM client of an organization, or one Google Workspace that is read. Its users and groups are its own.
type Directory struct {
	ID             string `json:"id"`
	ProjectID      string `json:"projectId"`
	OrganizationID string `json:"organizationId"`
	ClientID       string `json:"clientId"` // in its addresses; unique in the project; the ScimClient of its events
	Label          string `json:"label"`
	Type           Type   `json:"type"`

	Secrets     []Secret `json:"secrets,omitempty"`     // at most maxSecrets
	Mapping     string   `json:"mapping,omitempty"`     // Jsonnet; "" takes the built-in mapping
	Deactivated bool     `json:"deactivated,omitempty"` // no request of it is let in
	// ConnectionID is the connection whose subjects are the externalId or userName of this directory's users: a person who
	// signed in through it before is then the same identity. "" for none.
	ConnectionID string `json:"connectionId,omitempty"`
	// Quiet has a change of a group told for the members whose membership changed, and not for all of its members.
	Quiet bool `json:"quiet,omitempty"`
	// LogFor is how long its requests are kept in the log, in seconds; 0 keeps none.
	LogFor int64 `json:"logFor,omitempty"`
	// LogWebhooks is Polis's log_webhook_events: kept and shown, and without further meaning.
	LogWebhooks bool `json:"logWebhooks,omitempty"`
	// Webhook is the half of one that Polis's API was given so far; a whole one is an endpoint of core/events.
	Webhook Webhook `json:"webhook,omitzero"`
	// Google is how a directory of type google is read: what its OAuth connection gave, sealed with the rest.
	Google *Google `json:"google,omitempty"`

	// Deleted says that it is being removed: every way in refuses, and a job takes away what it holds.
	Deleted   bool      `json:"deleted,omitempty"`
	EventSeq  int64     `json:"eventSeq"` // of its last event
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`

	Version int64 `json:"-"`
	// BaseURL is where the organization's directories are seen, set by Authenticate; "" for the installation's own address.
	BaseURL string `json:"-"`
}

// Active reports whether its requests are let in.
func (d Directory) Active() bool { return !d.Deactivated && !d.Deleted }

// Webhook is an address and the secret that signs what is sent there: either may be "".
type Webhook struct {
	Endpoint string `json:"endpoint,omitempty"`
	Secret   string `json:"secret,omitempty"`
}

// Google is the connection to a Google Workspace. The tokens are secrets.
type Google struct {
	AccessToken  string    `json:"accessToken,omitempty"`
	RefreshToken string    `json:"refreshToken,omitempty"` // "" where it is not connected
	ExpiresAt    time.Time `json:"expiresAt,omitzero"`     // of the access token
	Groups       []string  `json:"groups,omitempty"`       // addresses or ids of the groups that are read; none for all
	OrgUnits     []string  `json:"orgUnits,omitempty"`     // paths of the organizational units that are read; none for all

	Customer    string    `json:"customer,omitempty"`    // whose workspace it is, by Google's id. No other one may follow, until it is forgotten
	Domain      string    `json:"domain,omitempty"`      // of that workspace, where Google named it
	ConnectedBy string    `json:"connectedBy,omitempty"` // the administrator's address, where Google named it
	ConnectedAt time.Time `json:"connectedAt,omitzero"`
	Links       int64     `json:"links,omitempty"` // how often it was connected or disconnected: links from before are void
	Asked       int64     `json:"asked,omitempty"` // how often somebody wanted it read at once
}

// Connected reports whether there is something to read it by.
func (g *Google) Connected() bool { return g != nil && g.RefreshToken != "" }

// GoogleTokens are tokens that an operator has from elsewhere. What is nil stays as it is; a refresh token of "" disconnects.
type GoogleTokens struct{ Access, Refresh *string }

func (t GoogleTokens) give(g *Google) {
	if t.Access != nil {
		g.AccessToken, g.ExpiresAt = *t.Access, time.Time{}
	}
	if t.Refresh != nil {
		g.RefreshToken, g.ConnectedBy = *t.Refresh, ""
		g.Links++
		g.Asked++
	}
}

// Secret is what a client shows with its requests. Polis's API shows it again, so it is sealed and not hashed.
type Secret struct {
	ID        string    `json:"id"`
	Value     string    `json:"value"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"` // zero: never
}

// Live reports whether the secret is taken at an instant.
func (s Secret) Live(now time.Time) bool { return s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt) }

// Secret is the newest secret that is live, or the zero value.
func (d Directory) Secret(now time.Time) Secret {
	for _, s := range slices.Backward(d.Secrets) {
		if s.Live(now) {
			return s
		}
	}
	return Secret{}
}

// Type is the product that provisions. Beside google it means nothing but a name, and an address of its own kind for Entra ID.
type Type string

// The types. The first six are Polis's.
const (
	Azure     Type = "azure-scim-v2" // Microsoft Entra ID
	Okta      Type = "okta-scim-v2"
	OneLogin  Type = "onelogin-scim-v2"
	JumpCloud Type = "jumpcloud-scim-v2"
	Generic   Type = "generic-scim-v2" // the default
	GoogleAPI Type = "google"          // read through Google's Admin API: it speaks no SCIM
	Ping      Type = "ping-scim-v2"
	Rippling  Type = "rippling-scim-v2"
	Workday   Type = "workday-scim-v2"
)

// Types are the types with their names for people.
var Types = []struct {
	Type Type
	Name string
}{
	{Azure, "Entra ID SCIM v2.0"}, {Okta, "Okta SCIM v2.0"}, {OneLogin, "OneLogin SCIM v2.0"}, {JumpCloud, "JumpCloud v2.0"},
	{Generic, "Generic SCIM v2.0"}, {GoogleAPI, "Google"}, {Ping, "Ping Identity SCIM v2.0"}, {Rippling, "Rippling SCIM v2.0"},
	{Workday, "Workday SCIM v2.0"},
}

const (
	maxSecrets     = 2
	maxClientID    = 100
	maxLogFor      = 365 * 24 * time.Hour
	minChosen      = 16 // characters of a secret that a caller chooses
	maxChosen      = 512
	directories    = "directories"
	byClient       = "by_client"
	byOrganization = "by_organization"
	byProject      = "by_project"
)

func directoryHead(d Directory) store.Doc {
	keys := map[string]string{}
	if !d.Deleted { // it holds its client id no more, and no listing shows it
		keys = map[string]string{"project": d.ProjectID, "client": key.Text(d.ClientID), "organization": d.OrganizationID}
	}
	return store.Doc{ID: d.ID, Version: d.Version, Keys: keys}
}

var directoryCollection = store.Collection{Name: directories, Sealed: true, Keys: record.Keys(directoryHead), Indexes: []store.Index{
	{Name: byClient, Fields: []string{"project", "client"}, Unique: true},
	{Name: byOrganization, Fields: []string{"organization"}},
	{Name: byProject, Fields: []string{"project"}},
}}

// Ref names a directory in the address of a request: by its id, or by its client id in a project.
type Ref struct {
	ID                  string
	ProjectID, ClientID string
}

// DirectoryInput is what a caller may choose. In an update a nil field stays as it is.
type DirectoryInput struct {
	ClientID     *string // only at creation: letters, digits, "-", "_" and "."; by default one is made
	Label        *string
	Type         *Type   // only at creation
	Secret       *string // only at creation: one that is chosen; by default one is made; see AddSecret
	Mapping      *string
	Active       *bool
	ConnectionID *string
	Quiet        *bool
	LogFor       *time.Duration
	LogWebhooks  *bool
	Webhook      *Webhook
	Google       *GoogleTokens
}

// unknown is compared with where there is nothing to compare with, so that a directory that does not exist takes as long.
var unknown = id.Hash("a directory that does not exist")
