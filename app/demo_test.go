package app

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// The check of the demo says which step failed, and prints no profile then.
func TestDemoCheckNamesTheStepThatFailed(t *testing.T) {
	for broken, want := range map[string]string{
		"":                         "",
		"GET /demo":                "open the application",
		"GET /api/oauth/authorize": "open the application",
		"GET /demo/idp/sso":        "open the application, and from there the identity provider",
		"POST /api/oauth/saml":     "carry the response back to Portico",
		"GET /demo/callback":       "the code to the application",
		"POST /api/oauth/token":    "/api/oauth/token answered 500",
		"GET /api/oauth/userinfo":  "/api/oauth/userinfo answered 500",
	} {
		t.Run(broken, func(t *testing.T) {
			c := Config{DatabaseURL: "memory:"}.withDefaults()
			listener, err := demoCommand{Check: true}.listen(t.Context(), &c)
			if err != nil {
				t.Fatal(err)
			}
			if address := listener.Addr().(*net.TCPAddr); !address.IP.IsLoopback() {
				t.Errorf("the demo listens on %s", address)
			}
			logger := slog.New(slog.DiscardHandler)
			a, err := newDemo(t.Context(), c, WithLogger(logger))
			if err != nil {
				t.Fatal(err)
			}
			whole := a.Handler
			a.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method+" "+r.URL.Path == broken {
					http.Error(w, "planted", http.StatusInternalServerError)
					return
				}
				whole.ServeHTTP(w, r)
			})
			var printed bytes.Buffer
			err = check(t.Context(), &printed, listener, a, logger, c.PublicURL)
			if want == "" {
				var profile map[string]any
				if err != nil || json.Unmarshal(printed.Bytes(), &profile) != nil || profile["email"] != "alice@acme.example" {
					t.Errorf("%v, %s", err, &printed)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "the sign-in failed: ") || !strings.Contains(err.Error(), want) || printed.Len() > 0 {
				t.Errorf("%v, want %q; printed %q", err, want, &printed)
			}
		})
	}
}
