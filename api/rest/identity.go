package rest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
)

// The paths of people: {id} is one person's.
const (
	PathIdentities = "/api/v1/identities"
	PathIdentity   = "/api/v1/identities/{id}"
	PathGroupsOf   = "/api/v1/identities/{id}/groups"
)

const (
	maxBody     = 1 << 20
	defaultPage = 20
	maxPage     = 100
)

// person is an identity as the API shows it.
type person struct {
	ID             string          `json:"id"`
	Project        string          `json:"project"`
	Organization   string          `json:"organization"`
	Directory      string          `json:"directory,omitempty"` // that provisions the person
	Active         bool            `json:"active"`
	UserName       string          `json:"userName,omitempty"`
	ExternalID     string          `json:"externalId,omitempty"`
	Addresses      []string        `json:"addresses,omitempty"`
	Traits         json.RawMessage `json:"traits"`
	MetadataPublic json.RawMessage `json:"metadataPublic,omitempty"`
	MetadataAdmin  json.RawMessage `json:"metadataAdmin,omitempty"`
	HasPassword    bool            `json:"hasPassword"`
	CreatedAt      time.Time       `json:"createdAt"`
	UpdatedAt      time.Time       `json:"updatedAt"`
}

func personOf(i identity.Identity) person {
	p := person{ID: i.ID, Project: i.ProjectID, Organization: i.OrganizationID, Directory: i.DirectoryID, Active: i.Active, UserName: i.UserName,
		ExternalID: i.ExternalID, Addresses: i.Addresses, Traits: i.Traits, MetadataPublic: i.MetadataPublic, MetadataAdmin: i.MetadataAdmin,
		HasPassword: i.HasPassword, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt}
	if len(p.Traits) == 0 {
		p.Traits = json.RawMessage("{}")
	}
	return p
}

// people is a page of them. Next is after for the next page; "" where this is the last.
type people struct {
	Identities []person `json:"identities"`
	Next       string   `json:"next,omitempty"`
}

func peopleOf(list []identity.Identity) people {
	p := people{Identities: make([]person, 0, len(list))}
	for _, i := range list {
		p.Identities = append(p.Identities, personOf(i))
	}
	return p
}

// change is a body of POST and PATCH. What is absent or null stays as it is.
type change struct {
	Organization   string          `json:"organization"` // only of POST
	Active         *bool           `json:"active"`
	UserName       *string         `json:"userName"`
	Traits         json.RawMessage `json:"traits"`
	MetadataPublic json.RawMessage `json:"metadataPublic"`
	MetadataAdmin  json.RawMessage `json:"metadataAdmin"`
	Password       *string         `json:"password"`
}

func (c change) input() identity.Input {
	return identity.Input{Active: c.Active, UserName: c.UserName, Password: c.Password,
		Traits: given(c.Traits), MetadataPublic: given(c.MetadataPublic), MetadataAdmin: given(c.MetadataAdmin)}
}

// given is nil for null.
func given(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// People serves PathIdentities: a listing or a search by GET, a new person by POST.
func (h *Handler) People(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r, verbs{http.MethodGet: h.list, http.MethodPost: h.create})
}

// Person serves PathIdentity.
func (h *Handler) Person(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r, verbs{http.MethodGet: h.read, http.MethodPatch: h.update, http.MethodDelete: h.remove})
}

// list serves the people of an organization: those who go by address, userName or externalId, or a page of all, newest first.
func (h *Handler) list(r *http.Request) (int, any, error) {
	values, err := parameters(r, "organization", "address", "userName", "externalId", "after", "limit")
	if err != nil {
		return 0, nil, err
	}
	organizationID := values.Get("organization")
	if organizationID == "" {
		return 0, nil, fault.At("organization", "required", "Give the id of an organization.")
	}
	if err := h.organization(r.Context(), organizationID); err != nil {
		return 0, nil, err
	}
	q := identity.Search{Address: values.Get("address"), UserName: values.Get("userName"), ExternalID: values.Get("externalId")}
	names := 0
	for _, name := range []string{q.Address, q.UserName, q.ExternalID} {
		if name != "" {
			names++
		}
	}
	switch names {
	case 0:
		return h.page(r, organizationID)
	case 1:
		found, err := h.Identities.Search(r.Context(), organizationID, q)
		return http.StatusOK, peopleOf(found), err
	}
	return 0, nil, fault.At("address", "ambiguous", "Give one of address, userName and externalId.")
}

// organization refuses one that is not there: nobody would be told from it as from an empty one.
func (h *Handler) organization(ctx context.Context, organizationID string) error {
	_, err := h.Organizations.Get(ctx, organizationID)
	if fault.Is(err, fault.NotFound) {
		return notFound(err, "organization", "No such organization. Give its id, not its slug.")
	}
	return err
}

func notFound(err error, field, message string) error {
	return &fault.Error{Kind: fault.NotFound, Code: "not_found", Message: message, Field: field, Err: err}
}

// limitOf is how many items a page is to have.
func limitOf(values url.Values) (int, error) {
	limit, err := number(values.Get("limit"), defaultPage)
	if err != nil || limit < 1 || limit > maxPage {
		return 0, fault.At("limit", "invalid", "limit is 1 to 100.")
	}
	return int(limit), nil
}

func (h *Handler) page(r *http.Request, organizationID string) (int, any, error) {
	limit, err := limitOf(r.URL.Query())
	if err != nil {
		return 0, nil, err
	}
	found, err := h.Identities.List(r.Context(), organizationID, limit, r.URL.Query().Get("after"))
	if err != nil {
		return 0, nil, err
	}
	p := peopleOf(found.Items)
	if found.More {
		p.Next = found.Cursors[len(found.Cursors)-1]
	}
	return http.StatusOK, p, nil
}

func (h *Handler) create(r *http.Request) (int, any, error) {
	c, err := readChange(r)
	if err == nil && c.Organization == "" {
		err = fault.At("organization", "required", "Give the id of an organization.")
	}
	if err != nil {
		return 0, nil, err
	}
	if err := h.organization(r.Context(), c.Organization); err != nil {
		return 0, nil, err
	}
	i, err := h.Identities.Create(r.Context(), c.Organization, c.input())
	return http.StatusCreated, personOf(i), err
}

func (h *Handler) read(r *http.Request) (int, any, error) {
	i, err := h.Identities.Get(r.Context(), r.PathValue("id"))
	return http.StatusOK, personOf(i), err
}

func (h *Handler) update(r *http.Request) (int, any, error) {
	c, err := readChange(r)
	if err == nil && c.Organization != "" {
		err = fault.At("organization", "immutable", "A person stays in their organization.")
	}
	if err != nil {
		return 0, nil, err
	}
	i, err := h.Identities.Update(r.Context(), r.PathValue("id"), c.input())
	return http.StatusOK, personOf(i), err
}

func (h *Handler) remove(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, h.Directories.DeleteIdentity(r.Context(), r.PathValue("id"))
}

// group is a group of a person as the API shows it.
type group struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	ExternalID  string `json:"externalId,omitempty"`
}

// PersonGroups serves PathGroupsOf: the groups of which the person is a direct member, or with effective=true those around
// these, too.
func (h *Handler) PersonGroups(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r, verbs{http.MethodGet: h.groupsOf})
}

func (h *Handler) groupsOf(r *http.Request) (int, any, error) {
	values, err := parameters(r, "effective", "after", "limit")
	if err != nil {
		return 0, nil, err
	}
	limit, err := limitOf(values)
	if err != nil {
		return 0, nil, err
	}
	effective := values.Get("effective")
	if effective != "" && effective != "true" && effective != "false" {
		return 0, nil, fault.At("effective", "invalid", "effective is true or false.")
	}
	i, err := h.Identities.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	found, err := h.around(r.Context(), i, effective == "true")
	if err != nil {
		return 0, nil, err
	}
	p := struct {
		Groups []group `json:"groups"`
		Next   string  `json:"next,omitempty"`
	}{Groups: []group{}}
	for _, o := range found {
		if o.ID <= values.Get("after") {
			continue
		}
		if len(p.Groups) == limit {
			p.Next = p.Groups[limit-1].ID
			break
		}
		name, _ := o.Resource["displayName"].(string)
		externalID, _ := o.Resource["externalId"].(string)
		p.Groups = append(p.Groups, group{o.ID, name, externalID})
	}
	return http.StatusOK, p, nil
}

// around reads the groups of a person, by id. Whom no directory provisions is in none.
func (h *Handler) around(ctx context.Context, i identity.Identity, effective bool) ([]dirsync.Object, error) {
	if i.DirectoryID == "" {
		return nil, nil
	}
	d, err := h.Directories.Directory(ctx, i.DirectoryID)
	if fault.Is(err, fault.NotFound) { // it is being removed, and the person with it
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := h.Directories.GroupsOf(ctx, d, i.ID, effective)
	slices.SortFunc(list, func(a, b dirsync.Object) int { return strings.Compare(a.ID, b.ID) })
	return list, err
}

// readChange reads a JSON object. A field that is not known is refused: it would be lost in silence.
func readChange(r *http.Request) (c change, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return c, fault.New(fault.Invalid, "unsupported_media_type", "Send a JSON object as application/json.")
	}
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	err = in.Decode(&c)
	if err == nil {
		if _, err = in.Token(); errors.Is(err, io.EOF) {
			return c, nil
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return c, fault.Wrap(err, fault.TooLarge, "too_large", "A request has at most 1 MiB.")
	}
	return c, fault.Wrap(err, fault.Invalid, "bad_request", "Send one JSON object with active, userName, traits, metadataPublic, metadataAdmin and password alone.")
}
