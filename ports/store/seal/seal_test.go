package seal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

var _ store.Sealer = (*seal.Keyring)(nil)

func ring(t *testing.T, keys ...seal.Key) *seal.Keyring {
	t.Helper()
	r, err := seal.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func key(id string, b byte) seal.Key { return seal.Key{ID: id, Secret: [32]byte{b}} }

func TestRotation(t *testing.T) {
	aad, plain := []byte("users\x00u1"), []byte(`{"a":1}`)
	old, err := ring(t, key("a", 1)).Seal(aad, plain)
	if err != nil {
		t.Fatal(err)
	}
	rotated := ring(t, key("b", 2), key("a", 1))
	got, err := rotated.Open(aad, old)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("a body of the older key: %q, %v", got, err)
	}
	anew, err := rotated.Seal(aad, plain)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := seal.KeyID(anew); id != "b" || err != nil {
		t.Errorf("sealed by %q, %v; want the first key", id, err)
	}
	if bytes.Contains(anew, plain) {
		t.Error("the body is readable")
	}
	again, _ := rotated.Seal(aad, plain)
	if bytes.Equal(anew, again) {
		t.Error("one body seals to the same bytes twice")
	}
}

func TestOpenRefuses(t *testing.T) {
	aad := []byte("users\x00u1")
	sealed, err := ring(t, key("a", 1)).Seal(aad, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	var missing *seal.MissingKeyError
	if _, err := ring(t, key("b", 1)).Open(aad, sealed); !errors.As(err, &missing) || missing.ID != "a" {
		t.Errorf("missing key: %v", err)
	}
	var wrong *seal.OpenError
	if _, err := ring(t, key("a", 2)).Open(aad, sealed); !errors.As(err, &wrong) || wrong.ID != "a" {
		t.Errorf("wrong secret: %v", err)
	}
	same := ring(t, key("a", 1))
	if _, err := same.Open([]byte("users\x00u2"), sealed); !errors.As(err, &wrong) {
		t.Errorf("moved to another document: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := same.Open(aad, bad); err == nil {
			t.Errorf("altered at byte %d and opened", i)
		}
		if _, err := same.Open(aad, sealed[:i]); err == nil {
			t.Errorf("cut at byte %d and opened", i)
		}
	}
	for _, plain := range []string{"", "{}", `{"a":1}`, "\x01", "\x01\x00", "\x01\x05abc"} {
		if _, err := same.Open(aad, []byte(plain)); !errors.Is(err, seal.ErrFormat) {
			t.Errorf("%q: %v", plain, err)
		}
	}
}

func TestKeyringRefuses(t *testing.T) {
	for name, keys := range map[string][]seal.Key{
		"none":     nil,
		"no id":    {key("", 1)},
		"long id":  {key(strings.Repeat("x", 256), 1)},
		"repeated": {key("a", 1), key("a", 2)},
	} {
		if _, err := seal.NewKeyring(keys); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStaleAndMissing(t *testing.T) {
	aad, plain := []byte("a"), []byte("text")
	serving, rotating := ring(t, key("k1", 1)), ring(t, key("k2", 2), key("k1", 1))
	old, err := serving.Seal(aad, plain)
	if err != nil {
		t.Fatal(err)
	}
	anew, err := rotating.Seal(aad, plain)
	if err != nil {
		t.Fatal(err)
	}
	if serving.Stale(old) || !rotating.Stale(old) || rotating.Stale(anew) || !rotating.Stale(nil) || !ring(t, key("k", 1)).Stale(old) {
		t.Error("what is stale depends on more than the first key")
	}
	var missing *seal.MissingKeyError
	reloads := 0
	keys, failing := []seal.Key{key("k1", 1)}, error(nil)
	serving.OnMissing(func() ([]seal.Key, error) { reloads++; return keys, failing })
	if _, err := serving.Open(aad, anew); !errors.As(err, &missing) || reloads != 1 {
		t.Errorf("a key that is not there either: %v", err)
	}
	failing = errors.New("no such file")
	if _, err := serving.Open(aad, anew); !errors.As(err, &missing) || !errors.Is(err, failing) {
		t.Errorf("keys that cannot be read: %v", err)
	}
	keys, failing = nil, nil
	if _, err := serving.Open(aad, anew); !errors.As(err, &missing) {
		t.Errorf("no keys: %v", err)
	}
	keys = []seal.Key{key("k2", 2), key("k1", 1)}
	for range 2 {
		if got, err := serving.Open(aad, anew); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("after rotation: %q, %v", got, err)
		}
	}
	if reloads != 4 {
		t.Errorf("keys were read %d times", reloads)
	}
	if sealed, err := serving.Seal(aad, plain); err != nil || rotating.Stale(sealed) {
		t.Errorf("the new first key does not seal: %v", err)
	}
}
