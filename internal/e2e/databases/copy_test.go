package databases

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/internal/engines"
)

// places are those that everything is moved between, each to each.
func places() []setup {
	all := slices.DeleteFunc(slices.Clone(setups), func(s setup) bool { return s.sessions != "" })
	if long {
		all = append(all, others...)
	}
	return all
}

// house is a database with people in it, in the middle of what they do.
type house struct {
	env    []string // without databases
	tenant *tenant
	text   string // everything, as an export has it

	begun, finished, redeemed login
}

// furnish fills an empty database.
func furnish(t *testing.T, address string) *house {
	t.Helper()
	env := settings(address, "")
	h := &house{env: env[1:], tenant: newTenant(t, "crm", "acme.example")}
	i, ctx := serve(t, 1, env)[0], t.Context()
	h.begun, h.finished = login{tenant: h.tenant, person: "on-the-way"}, login{tenant: h.tenant, person: "with-a-code"}
	err := i.connect(ctx, h.tenant)
	for _, person := range []string{"ann", "ben", "cem"} {
		if err == nil {
			var l *login
			l, err = signIn(ctx, h.tenant, person, i)
			h.redeemed = *l
		}
	}
	if err = errors.Join(err, h.begun.begin(ctx, i), h.finished.begin(ctx, i), h.finished.finish(ctx, i)); err != nil {
		t.Fatal(err)
	}
	i.kill()
	h.text = h.exported(t, address)
	return h
}

func (h *house) at(address string) []string {
	return append(slices.Clone(h.env), "PORTICO_DATABASE_URL="+address)
}

func (h *house) exported(t *testing.T, address string) string {
	t.Helper()
	text, _ := run(t, h.at(address), "export")
	return text
}

// contents are the lines of a move that tell each collection's count and digest.
func contents(printed string) []string {
	var lines []string
	for line := range strings.Lines(printed) {
		if f := strings.Fields(line); len(f) == 3 && len(f[2]) == 64 {
			lines = append(lines, line)
		}
	}
	return lines
}

// lives holds that everything has come, and that what people had begun goes on in another database.
func (h *house) lives(t *testing.T, env []string) {
	t.Helper()
	if text, _ := run(t, env, "export"); text != h.text {
		t.Errorf("what has come is not what was there:\n%.2000s\n%.2000s", text, h.text)
	}
	c, _, err := app.LoadConfig(env)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), c, app.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a.Handler)
	i, ctx := &instance{t: t, URL: server.URL}, t.Context()
	begun, finished, redeemed := h.begun, h.finished, h.redeemed // here they go on alone
	_, err = signIn(ctx, h.tenant, "ann", i)
	if err = errors.Join(err, begun.finish(ctx, i), begun.redeem(ctx, i), begun.check(ctx, i), finished.redeem(ctx, i), finished.check(ctx, i),
		redeemed.check(ctx, i)); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestCopyEachToEach copies a database from each engine to each, the same one too, by portico copy.
func TestCopyEachToEach(t *testing.T) {
	first, _ := setup{}.fresh(t)
	h := furnish(t, first)
	var want []string
	for _, from := range places() {
		source, _ := from.fresh(t)
		_, printed := run(t, h.env, "copy", "--from", first, "--to", source)
		if want == nil {
			want = contents(printed)
		}
		if got := contents(printed); len(got) < 5 || !slices.Equal(got, want) {
			t.Fatalf("to %s came\n%s, want\n%s", from.name, got, want)
		}
		for _, to := range places() {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				target, _ := to.fresh(t)
				for range 2 { // the second finds that nothing is left to do
					if _, printed := run(t, h.env, "copy", "--from", source, "--to", target); !slices.Equal(contents(printed), want) {
						t.Errorf("came\n%s, want\n%s", contents(printed), want)
					}
				}
				h.lives(t, h.at(target))
			})
		}
	}
}

// TestExportAndImport moves a database from one engine to the next through a file: in the clear, encrypted by a passphrase, or
// for a public key.
func TestExportAndImport(t *testing.T) {
	all := places()
	source, _ := all[0].fresh(t)
	h := furnish(t, source)
	passphrase, identity := filepath.Join(t.TempDir(), "passphrase"), filepath.Join(t.TempDir(), "identity")
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{passphrase: "a passphrase\n", identity: "# made by age-keygen\n" + key.String() + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ways := []struct{ out, in []string }{
		{},
		{[]string{"--passphrase-file", passphrase}, []string{"--passphrase-file", passphrase}},
		{[]string{"--recipient", key.Recipient().String()}, []string{"--identity", identity}},
	}
	for n, to := range append(all[1:], all[0]) {
		file, way := filepath.Join(t.TempDir(), "export"), ways[n%len(ways)]
		target, _ := to.fresh(t)
		_, out := run(t, h.at(source), append([]string{"export", "--out", file}, way.out...)...)
		text, err := os.ReadFile(file)
		if clear := bytes.Contains(text, []byte("acme.example")); clear != (way.out == nil) || err != nil {
			t.Errorf("written with %s, people can be read: %t, %v", way.out, clear, err)
		}
		if n == 1 {
			p := launch(t, t.TempDir(), h.at(target), "import", file)
			if code := p.wait(t); code == 0 || !strings.Contains(p.stderr.String(), "encrypted: give --identity or --passphrase-file") {
				t.Errorf("without the key: exit code %d: %s", code, p.stderr.String())
			}
		}
		_, in := run(t, h.at(target), append([]string{"import", file}, way.in...)...)
		if !slices.Equal(contents(out), contents(in)) || len(contents(in)) < 5 {
			t.Errorf("to %s: out went\n%s, in came\n%s", to.name, contents(out), contents(in))
		}
		if text := h.exported(t, target); text != h.text {
			t.Errorf("what has come to %s is not what was there:\n%.2000s\n%.2000s", to.name, text, h.text)
		}
		source = target
	}
	h.lives(t, h.at(source))
}

// TestCopyApart moves sessions from beside the records to another engine, and back.
func TestCopyApart(t *testing.T) {
	whole, _ := setup{}.fresh(t)
	h := furnish(t, whole)
	records, sessions := setup{records: engines.Postgres, sessions: engines.Redis}.fresh(t)
	run(t, h.env, "copy", "--from", whole, "--to", records, "--sessions", "without")
	run(t, h.env, "copy", "--from", whole, "--to", sessions, "--sessions", "only")
	apart := append(h.at(records), "PORTICO_SESSION_URL="+sessions)
	back, _ := setup{records: engines.MariaDB}.fresh(t)
	run(t, h.env, "copy", "--from", records, "--to", back, "--sessions", "without")
	run(t, h.env, "copy", "--from", sessions, "--to", back, "--sessions", "only")
	h.lives(t, apart)
	h.lives(t, h.at(back))
}
