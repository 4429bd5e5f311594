package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestRotateEncryptionKeysWhileServing rotates the key beside SQLite while people sign in: nobody notices, and then the
// old key opens nothing that is still there.
func TestRotateEncryptionKeysWhileServing(t *testing.T) {
	dir := t.TempDir()
	env := []string{"PORTICO_ADMIN_KEYS=" + adminKey, "PORTICO_CLIENT_SECRET_VERIFIER=" + sharedKey}
	server := launch(t, dir, env, "serve")
	p := server.serving()
	p.http.CheckRedirect = stay
	idp := newIdP(t, "https://idp.example/rotation")
	p.connect(idp, nil)
	signIn := func() {
		a := p.redeem(p.code(idp, polisClient(nil)), nil)
		token, _ := a.json(t)["access_token"].(string)
		if a.StatusCode != http.StatusOK || p.userinfo(token).StatusCode != http.StatusOK {
			t.Errorf("sign in: %s %s", a.Status, a.body)
		}
	}
	signIn()

	var rotated atomic.Bool
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for !rotated.Load() {
				signIn()
			}
		})
	}
	for _, args := range [][]string{{"keys", "rotate"}, {"keys", "rotate"}, {"keys", "rotate", "--finish"}} {
		if rotate := launch(t, dir, env, args...); rotate.wait() != 0 {
			t.Errorf("%q: %s", args, rotate.stderr.String())
		}
	}
	rotated.Store(true)
	all.Wait()
	server.stop()

	path := filepath.Join(dir, "portico.db.key")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys := strings.Split(strings.TrimSpace(string(content)), ",")
	if len(keys) != 3 || !strings.HasPrefix(keys[0], "k3:") || !strings.HasPrefix(keys[2], "k1:") {
		t.Fatalf("%d keys in the file", len(keys))
	}
	if last := launch(t, dir, env, "keys", "rotate", "--finish"); last.wait() != 0 {
		t.Fatal(last.stderr.String())
	}
	write := func(keys string) {
		if err := os.WriteFile(path, []byte(keys+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(keys[0]) // the older ones are removed
	server = launch(t, dir, env, "serve")
	p = server.serving()
	p.http.CheckRedirect = stay
	signIn()
	server.stop()

	for wrong, want := range map[string]string{keys[2]: `encryption key "k3", which is not given`, "k3:" + keys[2][3:]: `"k3" is not the one`} {
		write(wrong)
		refused := launch(t, dir, env, "serve")
		if refused.wait() == 0 || !strings.Contains(refused.stderr.String(), want) {
			t.Errorf("want %q: %s", want, refused.stderr.String())
		}
	}
}

// stay follows no redirect.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
