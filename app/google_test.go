package app

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/internal/googlefake"
)

// TestGoogleWorkspace has an administrator connect a workspace over HTTP, after which its people are there.
func TestGoogleWorkspace(t *testing.T) {
	w := googlefake.New(t)
	w.Users = []googlefake.User{googlefake.Person("u1", "ada@acme.example", "Ada", "Lovelace", "/")}
	server := httptest.NewUnstartedServer(nil)
	a, err := New(t.Context(), Config{
		PublicURL: "http://" + server.Listener.Addr().String(), DatabaseURL: "memory:", AllowPrivateNetworks: privateNetworks, AdminKeys: []string{"pk_admin"},
		GoogleClientID: googlefake.ClientID, GoogleClientSecret: googlefake.ClientSecret,
	}, WithLogger(slog.New(slog.DiscardHandler)), func(o *options) { o.googleAt = w.URL })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(t.Context()) }()
	server.Config.Handler = a.Handler
	server.Start()
	defer server.Close()

	project, err := a.services.Projects.Ensure(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	acme, err := a.services.Organizations.Ensure(t.Context(), project.ID, "acme")
	if err != nil {
		t.Fatal(err)
	}
	kind := dirsync.GoogleAPI
	d, err := a.services.Directories.CreateDirectory(t.Context(), acme.ID, dirsync.DirectoryInput{Type: &kind})
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	get := func(client *http.Client, path string) (int, string) {
		t.Helper()
		response, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/dsync/"+d.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Api-Key pk_admin")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var shown struct {
		Data struct {
			URL string `json:"google_authorization_url"`
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&shown); err != nil {
		t.Fatal(err)
	}
	link := strings.TrimPrefix(shown.Data.URL, server.URL) + "?directoryId=" + d.ID // as Polis's clients do
	if status, body := get(&http.Client{Jar: jar}, google.PathAuthorize+"?directoryId="+d.ID); status != http.StatusForbidden || !strings.Contains(body, "Ask for a new one") {
		t.Errorf("whoever knows the id: %d %s", status, body)
	}
	if status, _ := get(&http.Client{Jar: jar}, link+"x"); status != http.StatusForbidden {
		t.Errorf("another directory's id behind a link: %d", status)
	}
	if status, body := get(&http.Client{}, link); status != http.StatusForbidden || !strings.Contains(body, "browser") {
		t.Errorf("a browser that keeps no cookie: %d %s", status, body)
	}
	if status, body := get(&http.Client{Jar: jar}, link); status != http.StatusOK || body != "Authorized done successfully. You may close this window." {
		t.Fatalf("%d %s", status, body)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		page, err := a.services.Directories.Users(t.Context(), d, dirsync.Query{Count: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) == 1 && page.Items[0].Resource["userName"] == "ada@acme.example" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not there: %v", page.Items)
		}
	}
}

func TestGoogleIsNotSetUp(t *testing.T) {
	a, err := New(t.Context(), Config{DatabaseURL: "memory:"}, WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(t.Context()) }()
	for _, path := range []string{google.PathAuthorize, google.PathCallback} {
		w := httptest.NewRecorder()
		a.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "PORTICO_GOOGLE_CLIENT_ID") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
