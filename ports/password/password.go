// Package password is how core has passwords hashed: slowly, and with much memory, so that whoever reads the hashes learns
// little from them.
package password

import (
	"context"
	"errors"
)

// Hasher makes and checks hashes of passwords. It may be used concurrently and bounds by itself how much is under way.
type Hasher interface {
	// Hash answers with the hash of a password under a new salt, as a PHC string (https://github.com/P-H-C/phc-string-format),
	// or with ErrBusy, or the error of ctx.
	Hash(ctx context.Context, password string) (string, error)
	// Verify reports whether a password has that hash. Nobody takes as long as any other and no password has it. Errors: as
	// Hash, and one of a hash that cannot be read.
	Verify(ctx context.Context, hash, password string) (bool, error)
}

// Nobody stands for the hash of a person who is not there.
const Nobody = ""

// ErrBusy says that too many wait already.
var ErrBusy = errors.New("password: too many are being hashed")
