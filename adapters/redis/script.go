package redis

import (
	"context"
	"crypto/sha1" // by it Redis names scripts
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/ports/store"
)

//go:embed lua/common.lua
var commonText string

//go:embed lua/commit.lua
var commitText string

//go:embed lua/get.lua
var getText string

//go:embed lua/span.lua
var spanText string

//go:embed lua/range.lua
var rangeText string

//go:embed lua/count.lua
var countText string

//go:embed lua/sweep.lua
var sweepText string

//go:embed lua/structure.lua
var structureText string

//go:embed lua/grow.lua
var growText string

//go:embed lua/fill.lua
var fillText string

// scripts are all that Redis is asked for.
type scripts struct{ commit, get, list, count, sweep, structure, grow, fill script }

var standard = &scripts{
	commit:    newScript(commonText, commitText),
	get:       newScript(commonText, getText),
	list:      newScript(commonText, spanText, rangeText),
	count:     newScript(commonText, spanText, countText),
	sweep:     newScript(commonText, sweepText),
	structure: newScript(commonText, structureText),
	grow:      newScript(commonText, growText),
	fill:      newScript(commonText, fillText),
}

type script struct{ text, sha string }

func newScript(parts ...string) script {
	text := strings.Join(parts, "\n")
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// sending is a script's first argument, the instant, which notes that it is being written to a connection. Before that,
// surely nothing of the call has reached the server.
type sending struct {
	text  []byte
	began bool
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (s *sending) MarshalBinary() ([]byte, error) {
	s.began = true
	return s.text, nil
}

// call runs a script; args has room for the instant at its beginning. It is sent once: the client's own retries are off. A
// server that does not know the script has done nothing, and is sent its text.
func (b *Backend) call(ctx context.Context, s script, now time.Time, args []any) (reply any, began bool, err error) {
	first := &sending{text: strconv.AppendInt(nil, now.UnixMilli(), 10)}
	args[0] = first
	reply, err = b.client.EvalSha(ctx, s.sha, b.keys, args...).Result()
	if goredis.HasErrorPrefix(err, "NOSCRIPT") {
		first.began = false
		reply, err = b.client.Eval(ctx, s.text, b.keys, args...).Result()
	}
	return reply, first.began, err
}

// read runs a script that changes nothing. A read that lost its connection, as those in a pool are lost when a server is
// restarted, is sent once more.
func (b *Backend) read(ctx context.Context, s script, now time.Time, args []any) (any, error) {
	reply, began, err := b.call(ctx, s, now, args)
	if began && isCut(err) && ctx.Err() == nil {
		reply, began, err = b.call(ctx, s, now, args)
	}
	if err != nil {
		return nil, b.failed(ctx, err, began, store.ErrUnavailable)
	}
	return reply, nil
}

// staleTries is how often a write follows a structure that others are adding to.
const staleTries = 5

// write runs a script that changes something in some collections, and answers what it says. args makes the script's arguments
// of the structure that this program is to keep; the first two places are for the instant and the generation. When another
// program has added to the structure, or all data is gone, nothing is written, and the structure is read anew.
func (b *Backend) write(ctx context.Context, s script, now time.Time, collections []string, args func(*structure) []any) ([]any, error) {
	for range staleTries {
		st, err := b.writable(ctx, collections)
		if err != nil {
			return nil, err
		}
		filled := args(st)
		filled[1] = st.generation
		reply, began, err := b.call(ctx, s, now, filled)
		if err != nil {
			return nil, b.failed(ctx, err, began, store.ErrUncertain)
		}
		answer, ok := reply.([]any)
		if !ok || len(answer) == 0 {
			return nil, fmt.Errorf("%w: redis: a script answers %v", store.ErrUncertain, reply)
		}
		if answer[0] != "stale" {
			return answer, nil
		}
		if _, err := b.reload(ctx); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: redis: the indexes keep changing", store.ErrUnavailable)
}

// failed says an error of a call in the port's terms. lost is the outcome where the answer was lost.
func (b *Backend) failed(ctx context.Context, err error, began bool, lost error) error {
	var answer goredis.Error
	switch {
	case began && errors.As(err, &answer):
		if slices.Contains(refusals, code(answer)) {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		return fmt.Errorf("redis: %w", err)
	case began && !isUnsent(err) && errors.Is(lost, store.ErrUncertain):
		return fmt.Errorf("%w: %w", lost, err)
	case b.closed.Load():
		return fmt.Errorf("%w: %w", store.ErrClosed, err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// refusals are the errors with which a server refuses a command, or a script its first write: nothing was applied. The
// scripts see to it that no later write is refused.
var refusals = []string{
	"LOADING", "READONLY", "MASTERDOWN", "OOM", "BUSY", "NOREPLICAS", "MISCONF", // the server's state
	"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", // the cluster's
	"NOAUTH", "WRONGPASS", "NOPERM", // the user's rights
}

// code is the first word of an error of the server. A right that is missed inside a script has none of its own; the words changed
// with Redis 7.2.
func code(err error) string {
	text := err.Error()
	if strings.Contains(text, "ACL failure in script") || strings.Contains(text, "The user executing the script can't") {
		return "NOPERM"
	}
	word, _, _ := strings.Cut(text, " ")
	return word
}

func isOutOfMemory(err error) bool {
	var answer goredis.Error
	return errors.As(err, &answer) && code(answer) == "OOM"
}

// isCut says whether the connection was lost, and not only slow.
func isCut(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.As(err, &network) && !network.Timeout()
}

// isUnsent says whether writing to the connection failed. The end of the command was then not sent, so the server, which
// runs no part of a command, has not run it.
func isUnsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "write"
}
