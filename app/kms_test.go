package app

import (
	"encoding/base64"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/testing/fakekms"
)

var _ KMS = registry.KMSClient(nil)

// printed is what run prints to standard output.
func printed(t *testing.T, run func() error) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	failed := run()
	os.Stdout = stdout
	_ = w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), failed
}

// TestKMS has Tink's own test service wrap a key, and reads it back from the setting.
func TestKMS(t *testing.T) {
	uri, err := fakekms.NewKeyURI()
	if err != nil {
		t.Fatal(err)
	}
	client, err := fakekms.NewClient("fake-kms://")
	if err != nil {
		t.Fatal(err)
	}
	with := []Option{WithKMS(client)}
	entry, err := printed(t, func() error { return makeKeyCommand{ID: "k2", KMS: uri}.Run(with) })
	if err != nil || !strings.HasPrefix(entry, "k2:"+uri+"#") {
		t.Fatalf("%v, %q", err, entry)
	}
	plain, err := printed(t, func() error { return makeKeyCommand{ID: "k1"}.Run(nil) })
	if err != nil {
		t.Fatal(err)
	}
	load := func(keys string, opts []Option) (Config, error) {
		c, _, err := LoadConfig([]string{"PORTICO_ENCRYPTION_KEYS=" + keys}, opts...)
		return c, err
	}
	c, err := load(strings.TrimSpace(entry)+","+plain, with)
	if err != nil || len(c.EncryptionKeys) != 2 || c.EncryptionKeys[0].ID != "k2" || c.EncryptionKeys[1].ID != "k1" {
		t.Fatalf("%v, %v", err, c)
	}
	if encoded := base64.StdEncoding.EncodeToString(c.EncryptionKeys[0].Secret[:]); strings.Contains(entry, encoded) || c.EncryptionKeys[0].Secret == [32]byte{} {
		t.Error("the key is not wrapped")
	}
	other, err := fakekms.NewKeyURI()
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]struct {
		keys, want string
		opts       []Option
	}{
		"a service that is not there": {entry, "app.WithKMS", nil},
		"another key of the service":  {strings.Replace(entry, uri, other, 1), "does not unwrap", with},
		"the id of another":           {"k9" + entry[2:], "does not unwrap", with},
		"a key URI of nothing":        {"k2:fake-kms://x#AAAA", "has no key", with},
		"something that is no base64": {"k2:" + uri + "#!", "base64", with},
	} {
		if _, err := load(bad.keys, bad.opts); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %q", what, err, bad.want)
		}
	}
	for what, m := range map[string]makeKeyCommand{"a comma": {ID: "a,b"}, "no id": {}, "no service": {ID: "k", KMS: "aws-kms://x"}} {
		if text, err := printed(t, func() error { return m.Run(with) }); err == nil || text != "" {
			t.Errorf("%s: printed %q", what, text)
		}
	}
}
