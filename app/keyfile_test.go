package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/portico-sso/portico/ports/store/seal"
)

func TestKeysBesideANewDatabase(t *testing.T) {
	database := filepath.Join(t.TempDir(), "portico.db")
	made, err := keysBeside(database)
	if err != nil || len(made) != 1 || made[0].Secret == [32]byte{} {
		t.Fatalf("got %d keys, %v", len(made), err)
	}
	if info, err := os.Stat(database + ".key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	write(t, database, "content", 0o600)
	if again, err := keysBeside(database); err != nil || len(again) != 1 || again[0] != made[0] {
		t.Errorf("a later start reads other keys: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(database))
	if err != nil || len(left) != 2 {
		t.Errorf("%d files are left behind, %v", len(left)-2, err)
	}
}

func TestKeysBesideForProcessesThatStartTogether(t *testing.T) {
	database := filepath.Join(t.TempDir(), "portico.db")
	var all [8][]seal.Key
	var group sync.WaitGroup
	for i := range all {
		group.Go(func() { all[i], _ = keysBeside(database) })
	}
	group.Wait()
	for i, keys := range all {
		if len(keys) != 1 || keys[0] != all[0][0] {
			t.Errorf("start %d has keys of its own", i)
		}
	}
}

func TestKeysBesideRefuses(t *testing.T) {
	_, key := testKey("k1", 1)
	for name, c := range map[string]struct {
		database, key string
		mode          os.FileMode
		want          string
	}{
		"a file that the group may read":    {"", key, 0o640, "chmod 600"},
		"a file that everyone may read":     {"", key, 0o604, "chmod 600"},
		"an empty file":                     {"", "\n", 0o600, "holds no key"},
		"a damaged file":                    {"", key[:20], 0o600, "entry 1"},
		"a database whose key file is gone": {"content", "", 0, "put the file back"},
	} {
		t.Run(name, func(t *testing.T) {
			database := filepath.Join(t.TempDir(), "portico.db")
			write(t, database, c.database, 0o600)
			if c.key != "" {
				write(t, database+".key", c.key, c.mode)
			}
			if _, err := keysBeside(database); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := keysBeside(filepath.Join(t.TempDir(), "missing", "portico.db")); err == nil {
		t.Error("a key was kept in a folder that is not there")
	}
}

func TestKeyring(t *testing.T) {
	t.Chdir(t.TempDir())
	given, _ := testKey("given", 1)
	for name, c := range map[string]struct {
		config Config
		file   string // made beside the database
		fails  bool
	}{
		"given keys need no file":           {config: Config{DatabaseURL: "sqlite:a.db", EncryptionKeys: []seal.Key{given}}},
		"given keys for a server":           {config: Config{DatabaseURL: "postgres://db/a", EncryptionKeys: []seal.Key{given}}},
		"no keys for a server":              {config: Config{DatabaseURL: "postgres://db/a"}, fails: true},
		"memory":                            {config: Config{DatabaseURL: "memory:"}},
		"SQLite in memory":                  {config: Config{DatabaseURL: "sqlite::memory:"}},
		"SQLite in a file":                  {config: Config{DatabaseURL: "sqlite:b.db"}, file: "b.db.key"},
		"SQLite in a file with an odd name": {config: Config{DatabaseURL: "sqlite:c%3Fd.db"}, file: "c?d.db.key"},
	} {
		keyring, err := newKeyring(c.config)
		if (err != nil) != c.fails || (keyring == nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if c.file != "" {
			if err := os.Remove(c.file); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("files nobody asked for: %v, %v", left, err)
	}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil { // past the umask
		t.Fatal(err)
	}
}
