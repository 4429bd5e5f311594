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

	"github.com/portico-sso/portico/ports/store/seal"
)

// newKeyring takes the configured keys. An embedded database has its own beside it, a memory one for its lifetime.
func newKeyring(c Config) (*seal.Keyring, error) {
	keys := c.EncryptionKeys
	if len(keys) == 0 {
		u, err := url.Parse(c.DatabaseURL)
		if err != nil {
			return nil, errors.New("PORTICO_DATABASE_URL is not a URL")
		}
		path := sqlitePath(u)
		switch {
		case !embedded(u.Scheme):
			return nil, errors.New("PORTICO_ENCRYPTION_KEYS " + needKeys)
		case u.Scheme == "memory" || path == ":memory:":
			keys = []seal.Key{newKey()}
		default:
			if keys, err = keysBeside(path); err != nil {
				return nil, err
			}
		}
	}
	return seal.NewKeyring(keys)
}

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
	path := database + ".key"
	info, missing := os.Stat(database) // before the key is looked for: a process beside us makes the key first
	keys, err := readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if missing == nil && info.Size() > 0 {
		return nil, fmt.Errorf("the database %s is there and its encryption key %s is not: put the file back, or give the key by PORTICO_ENCRYPTION_KEYS", database, path)
	}
	err = writeNew(path, encodeKey(newKey()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder %s of the database is not there: make it, or name another by PORTICO_DATABASE_URL", filepath.Dir(path))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("the encryption key cannot be kept: %w", err)
	}
	return readKeyFile(path) // ours, or that of a process that started at the same moment
}

// writeNew puts the file in its place whole and on disk: a reader never sees half a key, and an existing file stays.
func writeNew(path, content string) error {
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
	if err := os.Link(f.Name(), path); err != nil {
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
	keys, err := parseKeys(string(content))
	if err == nil && len(keys) == 0 {
		err = errors.New("it holds no key")
	}
	if err != nil {
		return nil, fmt.Errorf("the encryption key file %s cannot be used: %w", path, err)
	}
	return keys, nil
}

func newKey() seal.Key {
	k := seal.Key{ID: "k1"}
	_, _ = rand.Read(k.Secret[:]) // never fails, see crypto/rand
	return k
}

func encodeKey(k seal.Key) string {
	return k.ID + ":" + base64.StdEncoding.EncodeToString(k.Secret[:]) + "\n"
}
