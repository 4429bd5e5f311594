package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestNPMClients signs in at Portico with client libraries of npm, unmodified: openid-client and oauth4webapi, as
// confidential and as public applications, with pushed requests and with DPoP.
func TestNPMClients(t *testing.T) {
	node := needProgram(t, "node")
	folder := npmInstall(t, "clients")
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/npm")
	p.connect(idp, nil)
	for name, c := range map[string]struct {
		script, features string
		settings         map[string]any
	}{
		"openid-client":                     {"openid-client.mjs", "", nil},
		"openid-client, public":             {"openid-client.mjs", "", map[string]any{"public": true}},
		"openid-client, ES256":              {"openid-client.mjs", "", map[string]any{"idTokenAlg": "ES256"}},
		"openid-client, EdDSA, JWT":         {"openid-client.mjs", "", map[string]any{"idTokenAlg": "EdDSA", "tokenFormat": "JWT"}},
		"openid-client, pushed":             {"openid-client.mjs", "par", map[string]any{"requirePushedRequests": true}},
		"openid-client, public with DPoP":   {"openid-client.mjs", "dpop", map[string]any{"public": true, "requireDpop": true}},
		"openid-client, pushed with DPoP":   {"openid-client.mjs", "par,dpop", map[string]any{"requireDpop": true}},
		"oauth4webapi":                      {"oauth4webapi.mjs", "", nil},
		"oauth4webapi, public":              {"oauth4webapi.mjs", "", map[string]any{"public": true}},
		"oauth4webapi, PS256 of the server": {"oauth4webapi.mjs", "", map[string]any{"idTokenAlg": "PS256"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := *p
			p.t = t
			application := p.newApplication(testProduct, c.settings)
			cmd := exec.CommandContext(t.Context(), node, c.script)
			cmd.Dir = folder
			cmd.Env = append(os.Environ(), "ISSUER="+p.URL, "CLIENT_ID="+application.id, "CLIENT_SECRET="+application.secret,
				"REDIRECT_URI="+callback, "ORGANIZATION="+testTenant, "FEATURES="+c.features)
			got := p.drive(cmd, func(authorize *url.URL) string {
				request := p.get(authorize.RequestURI()).atProvider(t)
				return p.acs(p.respond(idp, request, nil), request.RelayState).location().String()
			})
			claims, _ := got["claims"].(map[string]any)
			userinfo, _ := got["userinfo"].(map[string]any)
			if claims["aud"] != application.id || claims["sub"] == nil || userinfo["sub"] != claims["sub"] || got["refreshed"] != true {
				t.Errorf("%v", got)
			}
			if after := got["afterRevocation"]; after != nil && after != "invalid_grant" {
				t.Errorf("after revocation: %v", after)
			}
			if active := got["active"]; active != nil && active != true {
				t.Error("a fresh token is not active")
			}
			wantType := "bearer"
			if strings.Contains(c.features, "dpop") {
				wantType = "dpop"
			}
			if got["type"] != wantType {
				t.Errorf("token type %v", got["type"])
			}
		})
	}
}

// drive runs a client that prints an address, and gives it the one where the browser ended.
func (p *program) drive(cmd *exec.Cmd, browser func(*url.URL) string) map[string]any {
	p.t.Helper()
	said := &syncBuffer{}
	cmd.Stderr = said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		_ = cmd.Wait()
		p.t.Fatalf("the client asks for nothing: %s", said)
	}
	to, err := url.Parse(lines.Text())
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, browser(to)+"\n"); err != nil {
		p.t.Fatal(err)
	}
	var got map[string]any
	if !lines.Scan() {
		_ = cmd.Wait()
		p.t.Fatalf("the client got nothing: %s", said)
	}
	if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		p.t.Fatalf("%v: %s", err, said)
	}
	return got
}
