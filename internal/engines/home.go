package engines

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// home is a server's folder: its data, what it printed, and a lock that says that its test still runs.
type home struct {
	path   string // as we see it
	inside string // as the server sees it, from its root
	log    *tail
	lock   *os.File
}

const (
	homePrefix = "portico-engine-"
	dataName   = "data"
)

// newHome makes a folder for a server with this root, and removes those that killed tests left behind.
func newHome(root string) (*home, error) {
	temp := os.TempDir()
	if root != "" {
		temp = "/tmp"
	}
	sweepHomes(root + temp)
	path, err := os.MkdirTemp(root+temp, homePrefix)
	if err != nil {
		return nil, err
	}
	h := &home{path: path, inside: strings.TrimPrefix(path, root), log: &tail{}}
	return h, errors.Join(h.lockIt(), own(path))
}

func (h *home) lockIt() (err error) {
	if h.lock, err = os.Create(filepath.Join(h.path, "lock")); err == nil {
		tryLock(h.lock)
	}
	return err
}

// write makes a file that the server may read, and returns its path as the server sees it.
func (h *home) write(name, text string) (string, error) {
	path := filepath.Join(h.path, name)
	return h.at(name), errors.Join(os.WriteFile(path, []byte(text), 0o600), own(path))
}

// makeData makes an empty data folder.
func (h *home) makeData() error {
	path := filepath.Join(h.path, dataName)
	return errors.Join(os.Mkdir(path, 0o700), own(path))
}

// at is the path of a file in the home, as the server sees it.
func (h *home) at(name string) string { return filepath.Join(h.inside, name) }

func (h *home) close() error { return errors.Join(removeHome(h.path), h.lock.Close()) }

func removeHome(path string) error {
	releaseMemory(filepath.Join(path, dataName, "postmaster.pid"))
	return os.RemoveAll(path)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// sweepHomes removes the folders whose owner is gone: their locks are free.
func sweepHomes(temp string) {
	paths, _ := filepath.Glob(filepath.Join(temp, homePrefix+"*"))
	for _, path := range paths {
		f, err := os.Open(filepath.Clean(filepath.Join(path, "lock")))
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err == nil && time.Since(info.ModTime()) > time.Minute && tryLock(f) { // younger ones are locked in a moment
			_ = removeHome(path)
		}
		_ = f.Close()
	}
}
