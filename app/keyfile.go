package app

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/portico-sso/portico/ports/store/seal"
)

// newKeyring takes the configured keys. An embedded database has its own beside it, a memory one for its lifetime.
func newKeyring(c Config) (*seal.Keyring, error) {
	if len(c.EncryptionKeys) > 0 {
		return seal.NewKeyring(c.EncryptionKeys)
	}
	file, ok := c.keyFile()
	if !ok {
		if scheme, _, _ := strings.Cut(c.DatabaseURL, ":"); !embedded(scheme) {
			return nil, errors.New("PORTICO_ENCRYPTION_KEYS " + needKeys)
		}
		return seal.NewKeyring([]seal.Key{newKey()})
	}
	keys, err := keysBeside(strings.TrimSuffix(file, keySuffix))
	if err != nil {
		return nil, err
	}
	ring, err := seal.NewKeyring(keys)
	if err == nil { // portico keys rotate puts a new key into it while we serve
		ring.OnMissing(func() ([]seal.Key, error) { return readKeyFile(file) })
	}
	return ring, err
}

// keyFile is where the keys of an embedded database are, unless they are given.
func (c Config) keyFile() (path string, ok bool) {
	u, err := url.Parse(c.DatabaseURL)
	if err != nil || len(c.EncryptionKeys) > 0 || u.Scheme != "sqlite" {
		return "", false
	}
	database := sqlitePath(u)
	return database + keySuffix, database != ":memory:"
}

const keySuffix = ".key"

// sqlitePath is the file of sqlite:path and sqlite:///path.
func sqlitePath(u *url.URL) string {
	if path, err := url.PathUnescape(u.Opaque); err == nil && path != "" {
		return path
	}
	return u.Path
}

// keysBeside reads the encryption keys beside an embedded database, or makes one there for a new database. The
// format is that of PORTICO_ENCRYPTION_KEYS. Only the owner may read the file.
func keysBeside(database string) ([]seal.Key, error) {
	path := database + keySuffix
	info, missing := os.Stat(database) // before the key is looked for: a process beside us makes the key first
	keys, err := readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if missing == nil && info.Size() > 0 {
		return nil, fmt.Errorf("the database %s is there and its encryption key %s is not: put the file back, or give the key by PORTICO_ENCRYPTION_KEYS", database, path)
	}
	err = writeNew(path, encodeKeys(newKey()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder %s of the database is not there: make it, or name another by PORTICO_DATABASE_URL", filepath.Dir(path))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("the encryption key cannot be kept: %w", err)
	}
	return readKeyFile(path) // ours, or that of a process that started at the same moment
}

// writeNew puts the file in its place whole and on disk: a reader never sees half a key, and an existing file stays.
func writeNew(path, content string) error { return writeFile(path, content, os.Link) }

// writeFile writes beside the place, and then moves it there.
func writeFile(path, content string, move func(from, to string) error) error {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, ".portico-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := move(f.Name(), path); err != nil {
		return err
	}
	if d, err := os.Open(folder); err == nil { //nolint:gosec // the folder of the operator's own database
		_, _ = d.Sync(), d.Close() // some systems cannot; the key file itself is written
	}
	return nil
}

func readKeyFile(path string) ([]seal.Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the encryption key file %s may be read by others: run chmod 600 %s", path, path)
	}
	content, err := os.ReadFile(path) //nolint:gosec // beside the operator's own database
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(string(content), nil)
	if err == nil && len(keys) == 0 {
		err = errors.New("it holds no key")
	}
	if err != nil {
		return nil, fmt.Errorf("the encryption key file %s cannot be used: %w", path, err)
	}
	return keys, nil
}

func newKey() seal.Key { return keyNamed("k1") }

func keyNamed(id string) seal.Key {
	k := seal.Key{ID: id}
	_, _ = rand.Read(k.Secret[:]) // never fails, see crypto/rand
	return k
}

func encodeKeys(keys ...seal.Key) string {
	entries := make([]string, len(keys))
	for i, k := range keys {
		entries[i] = k.ID + ":" + base64.StdEncoding.EncodeToString(k.Secret[:])
	}
	return strings.Join(entries, ",") + "\n"
}
