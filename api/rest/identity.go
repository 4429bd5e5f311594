package rest

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
)

// The paths of people: {id} is one person's.
const (
	PathIdentities = "/api/v1/identities"
	PathIdentity   = "/api/v1/identities/{id}"
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
	h.answer(w, r, map[string]func(*http.Request) (int, any, error){http.MethodGet: h.list, http.MethodPost: h.create})
}

// Person serves PathIdentity.
func (h *Handler) Person(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r, map[string]func(*http.Request) (int, any, error){http.MethodGet: h.read, http.MethodPatch: h.update, http.MethodDelete: h.remove})
}

// answer serves one of the methods that a path has. A nil body is none.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, methods map[string]func(*http.Request) (int, any, error)) {
	if err := h.authenticate(r); err != nil {
		h.fail(w, r, err)
		return
	}
	serve, ok := methods[r.Method]
	if !ok {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
			if methods[method] != nil {
				w.Header().Add("Allow", method)
			}
		}
		write(w, http.StatusMethodNotAllowed, "application/problem+json", problem{Title: http.StatusText(http.StatusMethodNotAllowed),
			Status: http.StatusMethodNotAllowed, Detail: "There is no " + r.Method + " here.", Code: "method_not_allowed"})
		return
	}
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	status, body, err := serve(r)
	switch {
	case err != nil:
		h.fail(w, r, err)
	case body == nil:
		w.WriteHeader(status)
	default:
		write(w, status, "application/json", body)
	}
}

// list serves the people of an organization: those who go by address, userName or externalId, or a page of all, newest first.
func (h *Handler) list(r *http.Request) (int, any, error) {
	values := r.URL.Query()
	organizationID := values.Get("organization")
	if organizationID == "" {
		return 0, nil, fault.At("organization", "required", "Give the id of an organization.")
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

func (h *Handler) page(r *http.Request, organizationID string) (int, any, error) {
	limit, err := number(r.URL.Query().Get("limit"), defaultPage)
	if err != nil || limit < 1 || limit > maxPage {
		return 0, nil, fault.At("limit", "invalid", "limit is 1 to 100.")
	}
	found, err := h.Identities.List(r.Context(), organizationID, int(limit), r.URL.Query().Get("after"))
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
