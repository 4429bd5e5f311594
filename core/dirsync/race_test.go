package dirsync_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/ports/store"
)

// crossed is a backend at which something happens once before a read of a collection, behind some others of it, and which may
// be away behind a commit.
type crossed struct {
	store.Backend
	at     string
	skip   atomic.Int64
	meets  atomic.Pointer[func()]
	leaves atomic.Bool // behind the next commit
	isAway atomic.Bool
}

func (c *crossed) meet(collection string) error {
	if collection == c.at && c.meets.Load() != nil && c.skip.Add(-1) < 0 {
		if fn := c.meets.Swap(nil); fn != nil {
			(*fn)()
		}
	}
	if c.isAway.Load() {
		return store.ErrUnavailable
	}
	return nil
}

func (c *crossed) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	if err := c.meet(collection); err != nil {
		return nil, err
	}
	return c.Backend.Get(ctx, now, collection, ids)
}

func (c *crossed) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	if err := c.meet(collection); err != nil {
		return nil, err
	}
	return c.Backend.Range(ctx, now, collection, r)
}

func (c *crossed) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	err := c.Backend.Commit(ctx, now, ops)
	c.isAway.Store(c.leaves.Swap(false))
	return err
}

func crossedWorld(t *testing.T, at string) (*world, *crossed) {
	t.Helper()
	c := &crossed{Backend: memory.New(schema()), at: at}
	return worldOver(t, c), c
}

// A user is changed while others tell of their membership, wherever these are with reading: what is told is what the user is
// when that event comes, and never what they were before.
func TestMembershipIsToldOfUsersAsTheyAre(t *testing.T) {
	for _, at := range []string{"identities", "scim_users"} {
		for name, act := range map[string]func(*world, string, string){
			"joins": func(w *world, _, userID string) { w.group("second", userID) },
			"leaves": func(w *world, groupID, userID string) {
				w.patchGroup(groupID, fmt.Sprintf(`[{"op":"remove","path":"members[value eq \"%s\"]"}]`, userID))
			},
			"loses the group": func(w *world, groupID, _ string) { must(w.t, w.directories.DeleteGroup(w.ctx, w.d, groupID, nil)) },
			"is told of the group": func(w *world, groupID, _ string) {
				w.patchGroup(groupID, `[{"op":"replace","path":"displayName","value":"renamed"}]`)
				w.told()
			},
		} {
			t.Run(name+" at "+at, func(t *testing.T) {
				w, c := crossedWorld(t, at)
				userID := w.create("ann").ID
				groupID := w.group("first", userID).ID
				met := false
				change := func() {
					met = true
					w.patch(userID, `[{"op":"replace","path":"title","value":"changed"}]`)
				}
				c.meets.Store(&change)
				act(w, groupID, userID)
				changed := false
				for _, e := range w.told() {
					if e.ResourceID != userID {
						continue
					}
					var data struct{ Raw struct{ Title string } }
					must(t, json.Unmarshal(e.Data, &data))
					if changed && data.Raw.Title != "changed" {
						t.Errorf("event %d, %s, tells what was before", e.Seq, e.Polis)
					}
					changed = changed || data.Raw.Title == "changed"
				}
				if !met || !changed {
					t.Errorf("crossed: %t, told: %t", met, changed)
				}
			})
		}
	}
}

// Whoever joins a group while it is replaced has joined before and is out, or behind and stays: its version tells which.
func TestReplacedGroupHasNobodyElse(t *testing.T) {
	for skip := range int64(2) {
		t.Run(fmt.Sprintf("read %d of members", skip+1), func(t *testing.T) {
			w, c := crossedWorld(t, "scim_members")
			c.skip.Store(skip)
			ann, ben, cem := w.create("ann").ID, w.create("ben").ID, w.create("cem").ID
			groupID := w.group("all", ann).ID
			var joined dirsync.Changed
			join := func() {
				joined = w.patchGroup(groupID, fmt.Sprintf(`[{"op":"add","path":"members","value":[{"value":"%s"}]}]`, ben))
			}
			c.meets.Store(&join)
			replaced, err := w.directories.ReplaceGroup(w.ctx, w.d, groupID, w.read(scim.Group, fmt.Sprintf(
				`{"schemas":["%s"],"displayName":"some","members":[{"value":"%s"}]}`, scim.GroupURN, cem)), nil)
			must(t, err)
			want := []string{cem}
			if joined.Version > replaced.Version {
				want = append(want, ben)
			}
			slices.Sort(want)
			if joined.Version == 0 {
				t.Error("nobody joined")
			}
			same(t, "members", w.members(groupID), want)
		})
	}
}

// The database is away as soon as a user is written: whoever wrote is told that it is done.
func TestWrittenAndThenAway(t *testing.T) {
	w, c := crossedWorld(t, "")
	userID := w.create("ann").ID
	w.group("all", userID)
	for _, active := range []string{"false", "true"} {
		c.leaves.Store(true)
		changed, err := w.directories.PatchUser(w.ctx, w.d, userID, w.ops(`[{"op":"replace","path":"active","value":`+active+`}]`), nil)
		if err != nil || !changed.Done || fmt.Sprint(changed.Resource["active"]) != active || len(changed.Resource["groups"].([]any)) != 1 {
			t.Errorf("active %s: %+v, %v", active, changed, err)
		}
		c.isAway.Store(false)
	}
}
