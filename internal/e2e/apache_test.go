package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

const modAuthOpenIDC = "/usr/lib/apache2/modules/mod_auth_openidc.so"

// apacheConfig is a site on Apache whose people mod_auth_openidc signs in. An application stands behind it and believes the
// headers that it adds.
const apacheConfig = `
ServerName 127.0.0.1
Listen %[1]s
ServerRoot %[2]s
PidFile %[2]s/pid
DefaultRuntimeDir %[2]s
ErrorLog /dev/stderr
LogLevel auth_openidc:info
%[3]s
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule auth_openidc_module %[4]s
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
MinSpareThreads 1
MaxSpareThreads 25

OIDCProviderMetadataURL %[5]s/.well-known/openid-configuration
OIDCClientID %[6]s
OIDCClientSecret %[7]s
OIDCRedirectURI http://%[1]s/oidc
OIDCCryptoPassphrase only-of-this-run
OIDCScope "openid email profile offline_access"
OIDCAuthRequestParams organization=%[8]s
OIDCPKCEMethod S256
OIDCRemoteUserClaim email
OIDCAuthNHeader X-Remote-User
OIDCInfoHook id_token userinfo access_token refresh_token
OIDCProviderBackChannelLogoutSupported On
OIDCRedirectURLsAllowed ^http://127\.0\.0\.1:\d+/ ^http://app\.example/

ProxyPass /oidc !
ProxyPass / %[9]s/
<Location />
	AuthType openid-connect
	Require valid-user
</Location>
<Location /engineers>
	Require claim groups:eng
</Location>
<Location /lawyers>
	Require claim groups:law
</Location>
`

// apache is a site on Apache, and a browser that it serves.
type apache struct {
	*site
	address string
}

func (a *apache) get(path string) answer {
	a.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = "http://" + a.address + path
	}
	return a.site.get(path, "Accept", "text/html")
}

// startApache serves a site whose people sign in at Portico.
func startApache(s *site, c client) *apache {
	s.t.Helper()
	program := needProgram(s.t, "/usr/sbin/apache2")
	if _, err := os.Stat(modAuthOpenIDC); err != nil {
		missing(s.t, "no %s is installed", modAuthOpenIDC)
	}
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := map[string]string{}
		for name := range r.Header {
			seen[strings.ToLower(name)] = r.Header.Get(name)
		}
		_ = json.NewEncoder(w).Encode(seen)
	}))
	s.t.Cleanup(behind.Close)
	address := freeAddress(s.t)
	var runAs string
	if me, err := user.Current(); err == nil && me.Uid == "0" { // which Apache refuses to be
		runAs = "User www-data\nGroup www-data"
	}
	folder := s.t.TempDir()
	config := filepath.Join(folder, "apache.conf")
	text := fmt.Sprintf(apacheConfig, address, folder, runAs, modAuthOpenIDC, s.URL, c.id, c.secret, s.tenant, behind.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	said := &syncBuffer{}
	server := exec.CommandContext(context.WithoutCancel(s.t.Context()), "/bin/sh", "-c", `"$@" & read -r _; kill $!; wait`, "sh",
		program, "-D", "FOREGROUND", "-f", config)
	server.Stdout, server.Stderr = said, said
	stdin, err := server.StdinPipe() // with which it ends, should this process be killed
	if err != nil {
		s.t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = stdin.Close()
		_ = server.Wait()
		if s.t.Failed() {
			s.t.Logf("Apache said: %s", said)
		}
	})
	if !eventually(func() bool { return reachable(s.t.Context(), address) }) {
		s.t.Fatal("Apache does not listen")
	}
	return &apache{s, address}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// visit goes to a page of the site by way of the sign-in, and gives what the application behind it saw.
func (a *apache) visit(path string) map[string]any {
	a.t.Helper()
	begun := a.get(path)
	if begun.StatusCode != http.StatusFound {
		a.t.Fatalf("%s lets everybody in: %s %s", path, begun.Status, begun.body)
	}
	back := a.get(a.browse(begun.Header.Get("Location")))
	if back.StatusCode != http.StatusFound {
		a.t.Fatalf("back: %s %s", back.Status, back.body)
	}
	return a.get(back.Header.Get("Location")).json(a.t)
}

// info is what the module knows of the browser's session.
func (a *apache) info() (info struct {
	IDToken  map[string]any `json:"id_token"`
	Userinfo map[string]any `json:"userinfo"`
	Access   string         `json:"access_token"`
	Refresh  string         `json:"refresh_token"`
}) {
	a.t.Helper()
	answer := a.get("/oidc?info=json")
	if err := json.Unmarshal(answer.body, &info); err != nil {
		a.t.Fatalf("%s: %v in %s", answer.Status, err, answer.body)
	}
	return info
}

// modAuth signs alice in at a site on Apache by mod_auth_openidc, refreshes her tokens, and ends her session at Portico, which
// the module has to learn. Then she signs in again, and out at the site.
func modAuth(s *site, c client) outcome {
	s.t.Helper()
	a := startApache(s, c)
	s.mutate("updateApplication", "UpdateApplicationInput", "application {id}",
		map[string]any{"id": c.id, "backchannelLogoutUri": "http://" + a.address + "/oidc?logout=backchannel"})
	seen := a.visit("/page")
	if seen["x-remote-user"] != "alice@acme.example" || seen["oidc_claim_given_name"] != "Alice" || seen["oidc_claim_groups"] != "eng,ops" {
		s.t.Errorf("behind Apache: %v", seen)
	}
	if engineers, lawyers := a.get("/engineers"), a.get("/lawyers"); engineers.StatusCode != http.StatusOK || lawyers.StatusCode != http.StatusUnauthorized {
		s.t.Errorf("engineers %s, lawyers %s", engineers.Status, lawyers.Status)
	}
	before := a.info()
	got := outcome{Claims: before.IDToken, Userinfo: before.Userinfo}
	a.get("/oidc?" + url.Values{"refresh": {"http://" + a.address + "/page"}, "access_token": {before.Access}}.Encode())
	after := a.info()
	got.Refreshed = after.Refresh != before.Refresh && after.Access != before.Access

	s.mutate("revokeSession", "RevokeSessionInput", "deletedId", map[string]any{"id": before.IDToken["sid"]})
	if !eventually(func() bool { return a.get("/page").StatusCode == http.StatusFound }) {
		s.t.Error("the site does not learn that the session has ended")
	}
	a.visit("/page")
	got.LeftTo = a.browse(a.get("/oidc?" + url.Values{"logout": {leftTo}}.Encode()).Header.Get("Location"))
	if again := a.get("/page"); again.StatusCode != http.StatusFound {
		s.t.Errorf("after signing out: %s", again.Status)
	}
	return got
}
