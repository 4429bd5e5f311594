package app

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/portico-sso/portico/ports/store/seal"
)

// keyFile reads the encryption keys beside an embedded database, or makes one key there. The format is that of
// PORTICO_ENCRYPTION_KEYS. Only the owner may read the file.
func keyFile(path string) ([]seal.Key, error) {
	keys, err := readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails, see crypto/rand
	line := "k1:" + base64.StdEncoding.EncodeToString(secret[:]) + "\n"
	if err := writeNew(path, line); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("the encryption key cannot be kept: %w", err)
	}
	return readKeyFile(path) // ours, or that of a process that started at the same moment
}

// writeNew puts the file in its place whole: a reader never sees half a key, and an existing file stays.
func writeNew(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".portico-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

func readKeyFile(path string) ([]seal.Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
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

// randomKey is for a database that does not outlive the process.
func randomKey() seal.Key {
	k := seal.Key{ID: "memory"}
	_, _ = rand.Read(k.Secret[:]) // never fails, see crypto/rand
	return k
}
