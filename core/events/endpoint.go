package events

import "time"

// Scope says whose events an endpoint is told: those of a project, of an organization or of a directory. ProjectID is always
// set; the others narrow.
type Scope struct {
	ProjectID      string `json:"projectId"`
	OrganizationID string `json:"organizationId,omitempty"`
	DirectoryID    string `json:"directoryId,omitempty"`
}

// Format is how a payload looks.
type Format string

// The formats of payloads.
const (
	Standard Format = "standard" // see docs/events.md
	Polis    Format = "polis"    // contract §3.4
)

// Endpoint is where events are sent.
type Endpoint struct {
	ID string `json:"id"`
	Scope
	URL         string    `json:"url"`
	Description string    `json:"description,omitempty"`
	Format      Format    `json:"format"`
	Types       []string  `json:"types,omitempty"`     // of the events to send; none: all
	BatchSize   int       `json:"batchSize,omitempty"` // 0: one event, as an object; else a JSON array of up to so many
	Active      bool      `json:"active"`
	Secrets     []Secret  `json:"secrets"` // oldest first, at most two that live
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`

	Version int64 `json:"-"`
}

// Secret is one of an endpoint's secrets. Expires is set on the one that another has taken the place of.
type Secret struct {
	Value   string    `json:"value"`
	Expires time.Time `json:"expires,omitzero"`
}

// Input is what a caller may choose of an endpoint. In an update a nil field stays as it is.
type Input struct {
	URL         *string
	Description *string
	Format      *Format
	Types       *[]string
	BatchSize   *int
	Active      *bool
	Secret      *string // only at creation: at least 8 bytes, or nil for one that is made
}
