// Package googlefake answers as Google does where directory sync asks it: the authorization and token endpoints of its OAuth 2.0
// and the listings of the Admin SDK's Directory API, in the form that its reference documents. A test holds the workspace.
package googlefake

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The client that is registered.
const (
	ClientID     = "123-portico.apps.googleusercontent.example"
	ClientSecret = "GOCSPX-a secret/with+signs"
	Customer     = "C01abc234"
)

// User and Group are resources as the API has them.
type (
	User   map[string]any
	Group  map[string]any
	Member map[string]any
)

// Workspace is one customer of Google. Change it under Do.
type Workspace struct {
	URL     string
	Users   []User
	Groups  []Group
	Members map[string][]Member // by id of the group
	Page    int                 // most of a page, below what is asked for; 0 for as asked
	// Fail answers a request instead, where it gives a status; reason is that of Google's error.
	Fail func(path string, q url.Values) (status int, reason string)
	// Admin and Domain are who consents.
	Admin, Domain string
	// OnRequest is called before a request of the API is answered.
	OnRequest func(path string)

	mu       sync.Mutex
	codes    map[string]url.Values // by code: what the browser came with
	access   map[string]bool
	refresh  map[string]bool
	serial   int
	requests []string
	revoked  []string
}

// New starts a workspace.
func New(t testing.TB) *Workspace {
	w := &Workspace{Admin: "root@acme.example", Domain: "acme.example", Members: map[string][]Member{}, codes: map[string]url.Values{}, access: map[string]bool{}, refresh: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth", w.authorize)
	mux.HandleFunc("POST /token", w.token)
	mux.HandleFunc("POST /revoke", w.revoke)
	mux.HandleFunc("GET /admin/directory/v1/users", w.api(w.users))
	mux.HandleFunc("GET /admin/directory/v1/groups", w.api(w.groups))
	mux.HandleFunc("GET /admin/directory/v1/groups/{group}", w.api(w.group))
	mux.HandleFunc("GET /admin/directory/v1/groups/{group}/members", w.api(w.members))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.URL = server.URL
	return w
}

// Do changes the workspace.
func (w *Workspace) Do(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// Requests are the paths and queries of the API that were asked for since the last call.
func (w *Workspace) Requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.requests
	w.requests = nil
	return all
}

// Expire ends all access tokens; Revoke the refresh tokens too.
func (w *Workspace) Expire() { w.Do(func() { clear(w.access) }) }

// Revoke is what an administrator does in Google's console.
func (w *Workspace) Revoke() { w.Do(func() { clear(w.access); clear(w.refresh) }) }

// Revoked are the tokens that were given back.
func (w *Workspace) Revoked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.revoked)
}

// revoke takes a token back with all that its account gave, as Google does.
func (w *Workspace) revoke(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	token := r.PostFormValue("token")
	if !w.refresh[token] {
		answer(out, http.StatusBadRequest, map[string]any{"error": "invalid_token", "error_description": "Token expired or revoked"})
		return
	}
	clear(w.access)
	clear(w.refresh)
	w.revoked = append(w.revoked, token)
	answer(out, http.StatusOK, map[string]any{})
}

// idToken is what the scopes openid and email bring. Its signature is none: whoever has it from the token endpoint need not check it.
func (w *Workspace) idToken() string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]any{"alg": "RS256", "kid": "k"}) + "." + part(map[string]any{"iss": "https://accounts.google.com", "aud": ClientID, "azp": ClientID,
		"sub": "100", "hd": w.Domain, "email": w.Admin, "email_verified": true}) + "." + part("signature")
}

// Person makes a user in the form of the API's reference.
func Person(id, email, given, family, orgUnit string) User {
	return User{
		"kind": "admin#directory#user", "id": id, "etag": `"e` + id + `"`, "primaryEmail": email, "customerId": Customer,
		"name":    map[string]any{"givenName": given, "familyName": family, "fullName": given + " " + family},
		"isAdmin": false, "isDelegatedAdmin": false, "suspended": false, "archived": false, "changePasswordAtNextLogin": false,
		"lastLoginTime": "2026-11-20T08:00:00.000Z", "creationTime": "2020-01-01T00:00:00.000Z", "agreedToTerms": true,
		"emails":      []any{map[string]any{"address": email, "primary": true}, map[string]any{"address": "home." + email, "type": "home"}},
		"orgUnitPath": orgUnit, "isMailboxSetup": true, "isEnrolledIn2Sv": false, "isEnforcedIn2Sv": false, "includeInGlobalAddressList": true,
	}
}

// Team makes a group in the form of the API's reference.
func Team(id, email, name string) Group {
	return Group{"kind": "admin#directory#group", "id": id, "etag": `"g` + id + `"`, "email": email, "name": name,
		"directMembersCount": "0", "description": "", "adminCreated": true}
}

// In makes a member of a type: USER, GROUP, CUSTOMER or EXTERNAL.
func In(id, email, kind string) Member {
	return Member{"kind": "admin#directory#member", "etag": `"m` + id + `"`, "id": id, "email": email, "role": "MEMBER", "type": kind, "status": "ACTIVE"}
}

func (w *Workspace) next(prefix string) string {
	w.serial++
	return prefix + strconv.Itoa(w.serial)
}

// authorize is an administrator who consents at once.
func (w *Workspace) authorize(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("access_type") != "offline" || q.Get("prompt") != "consent" ||
		q.Get("code_challenge_method") != "S256" || q.Get("state") == "" || strings.Count(q.Get("scope"), "readonly") != 3 || !strings.HasPrefix(q.Get("scope"), "openid email ") {
		http.Error(out, "invalid_request", http.StatusBadRequest)
		return
	}
	code := w.next("4/0A-code-")
	w.codes[code] = q
	http.Redirect(out, r, q.Get("redirect_uri")+"?"+url.Values{"state": {q.Get("state")}, "code": {code}, "scope": {q.Get("scope")}}.Encode(), http.StatusFound)
}

func (w *Workspace) token(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, secret, _ := r.BasicAuth()
	id, _ := url.QueryUnescape(name)
	plain, _ := url.QueryUnescape(secret)
	if id != ClientID || plain != ClientSecret {
		answer(out, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": "Unauthorized"})
		return
	}
	if w.Fail != nil {
		if status, reason := w.Fail("token", nil); status != 0 {
			answer(out, status, map[string]any{"error": reason})
			return
		}
	}
	tokens := map[string]any{"expires_in": 3599, "token_type": "Bearer", "scope": "…"}
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		asked, ok := w.codes[r.PostFormValue("code")]
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if !ok || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			answer(out, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "Bad Request"})
			return
		}
		delete(w.codes, r.PostFormValue("code"))
		refresh := w.next("1//0refresh-")
		w.refresh[refresh], tokens["refresh_token"] = true, refresh
	case "refresh_token":
		if !w.refresh[r.PostFormValue("refresh_token")] {
			answer(out, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
			return
		}
	default:
		answer(out, http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"})
		return
	}
	tokens["id_token"] = w.idToken()
	access := w.next("ya29.access-")
	w.access[access], tokens["access_token"] = true, access
	answer(out, http.StatusOK, tokens)
}

func answer(out http.ResponseWriter, status int, v any) {
	out.Header().Set("Content-Type", "application/json; charset=UTF-8")
	out.WriteHeader(status)
	_ = json.NewEncoder(out).Encode(v)
}

func fail(out http.ResponseWriter, status int, reason string) {
	answer(out, status, map[string]any{"error": map[string]any{"code": status, "message": "Refused: " + reason,
		"errors": []any{map[string]any{"message": "Refused", "domain": "global", "reason": reason}}}})
}

func (w *Workspace) api(serve func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(out http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/admin/directory/v1/")
		if w.OnRequest != nil {
			w.OnRequest(path)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.requests = append(w.requests, path+"?"+r.URL.RawQuery)
		if !w.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
			fail(out, http.StatusUnauthorized, "authError")
			return
		}
		if w.Fail != nil {
			if status, reason := w.Fail(path, r.URL.Query()); status != 0 {
				fail(out, status, reason)
				return
			}
		}
		serve(out, r)
	}
}

// list writes one page. As Google does, it leaves out what is empty.
func list[T any](w *Workspace, out http.ResponseWriter, r *http.Request, name string, most int, all []T) {
	q := r.URL.Query()
	n, err := strconv.Atoi(q.Get("maxResults"))
	start := 0
	if token := q.Get("pageToken"); token != "" && err == nil {
		_, err = fmt.Sscanf(token, "from-%d", &start)
	}
	if err != nil || n < 1 || n > most || start > len(all) {
		fail(out, http.StatusBadRequest, "invalid")
		return
	}
	if w.Page > 0 {
		n = min(n, w.Page)
	}
	end := min(start+n, len(all))
	body := map[string]any{"kind": "admin#directory#" + name, "etag": `"list"`}
	if start < end {
		body[name] = all[start:end]
	}
	if end < len(all) {
		body["nextPageToken"] = "from-" + strconv.Itoa(end)
	}
	answer(out, http.StatusOK, body)
}

func (w *Workspace) users(out http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("customer") != "my_customer" {
		fail(out, http.StatusBadRequest, "required")
		return
	}
	all := w.Users
	if query := r.URL.Query().Get("query"); query != "" {
		unit := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(query, "orgUnitPath='"), "'"), `\'`, "'")
		all = slices.DeleteFunc(slices.Clone(all), func(u User) bool {
			path, _ := u["orgUnitPath"].(string)
			return path != unit && !strings.HasPrefix(path, strings.TrimSuffix(unit, "/")+"/")
		})
	}
	list(w, out, r, "users", 500, all)
}

func (w *Workspace) groups(out http.ResponseWriter, r *http.Request) {
	list(w, out, r, "groups", 200, w.Groups)
}

func (w *Workspace) find(key string) (Group, bool) {
	i := slices.IndexFunc(w.Groups, func(g Group) bool { return g["id"] == key || g["email"] == key })
	if i < 0 {
		return nil, false
	}
	return w.Groups[i], true
}

func (w *Workspace) group(out http.ResponseWriter, r *http.Request) {
	if g, ok := w.find(r.PathValue("group")); ok {
		answer(out, http.StatusOK, g)
		return
	}
	fail(out, http.StatusNotFound, "notFound")
}

func (w *Workspace) members(out http.ResponseWriter, r *http.Request) {
	g, ok := w.find(r.PathValue("group"))
	if !ok {
		fail(out, http.StatusNotFound, "notFound")
		return
	}
	id, _ := g["id"].(string)
	list(w, out, r, "members", 200, w.Members[id])
}
