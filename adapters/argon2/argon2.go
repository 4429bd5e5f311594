// Package argon2 hashes passwords with argon2id (RFC 9106).
package argon2

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/portico-sso/portico/ports/password"
)

// What a new hash costs: 19 MiB and two passes, the least that OWASP's Password Storage Cheat Sheet asks of argon2id.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	threads = 1
	saltLen = 16
	hashLen = 32
)

// What a hash that was made elsewhere may cost at most.
const (
	maxMemory  = 256 << 10
	maxPasses  = 16
	maxThreads = 16
)

// waiting is how many may wait for each that is at work.
const waiting = 16

// Hasher implements password.Hasher.
type Hasher struct {
	places chan struct{} // who waits or works
	work   chan struct{} // who works
}

var _ password.Hasher = (*Hasher)(nil)

// New makes a hasher that does as much at once as there are processors.
func New() *Hasher { return newFor(runtime.GOMAXPROCS(0)) }

func newFor(n int) *Hasher {
	return &Hasher{places: make(chan struct{}, n*(1+waiting)), work: make(chan struct{}, n)}
}

// do runs fn when its turn has come.
func (h *Hasher) do(ctx context.Context, fn func()) error {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		return password.ErrBusy
	}
	select {
	case h.work <- struct{}{}:
		defer func() { <-h.work }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	fn()
	return nil
}

// phc is a hash and how it was made.
type phc struct {
	memory, passes uint32
	threads        uint8
	salt, hash     []byte
}

// nobody is what a person who is not there is compared with: no password has a hash of zeros.
var nobody = phc{memory, passes, threads, make([]byte, saltLen), make([]byte, hashLen)}

func (p phc) key(text string) []byte {
	return argon2.IDKey([]byte(text), p.salt, p.passes, p.memory, p.threads, uint32(len(p.hash)))
}

func (p phc) String() string {
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.threads,
		e.EncodeToString(p.salt), e.EncodeToString(p.hash))
}

func parse(s string) (phc, error) {
	var p phc
	var version int
	unreadable := fmt.Errorf("argon2: not a hash of argon2id that can be read")
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, unreadable
	}
	if n, err := fmt.Sscanf(parts[2], "v=%d", &version); n != 1 || err != nil || version != argon2.Version {
		return p, unreadable
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.threads); n != 3 || err != nil {
		return p, unreadable
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	p.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.hash) < 16 || len(p.hash) > 64 ||
		p.memory < 8 || p.memory > maxMemory || p.passes < 1 || p.passes > maxPasses || p.threads < 1 || p.threads > maxThreads {
		return p, unreadable
	}
	return p, nil
}

// Hash implements password.Hasher.
func (h *Hasher) Hash(ctx context.Context, text string) (string, error) {
	p := phc{memory, passes, threads, make([]byte, saltLen), make([]byte, hashLen)}
	if _, err := rand.Read(p.salt); err != nil {
		return "", err
	}
	err := h.do(ctx, func() { p.hash = p.key(text) })
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// Verify implements password.Hasher.
func (h *Hasher) Verify(ctx context.Context, hash, text string) (right bool, err error) {
	p := nobody
	if hash != password.Nobody {
		if p, err = parse(hash); err != nil {
			return false, err
		}
	}
	err = h.do(ctx, func() { right = subtle.ConstantTimeCompare(p.key(text), p.hash) == 1 })
	return right && hash != password.Nobody, err
}
