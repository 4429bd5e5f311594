package store

import (
	"context"
	"fmt"
	"time"
)

// Commit applies all operations or none. Without operations it does nothing. Where several operations fail, the
// outcome of any one of them is answered.
func (s *Store) Commit(ctx context.Context, ops ...Op) error {
	if len(ops) == 0 {
		return ctx.Err()
	}
	ready, err := s.prepare(ops)
	if err != nil {
		return err
	}
	if err := s.fenced(ctx); err != nil {
		return err
	}
	return s.backend.Commit(ctx, s.now(), ready)
}

// CommitBoth commits to two stores what would be one commit if they were one: when records and sessions are the
// same Store, in a single Commit; else the records first, then the sessions. Where they are two and the second
// commit fails, the first stands: the caller must be able to repeat it.
func CommitBoth(ctx context.Context, records *Store, r []Op, sessions *Store, s []Op) error {
	if records == sessions {
		all := make([]Op, 0, len(r)+len(s))
		return records.Commit(ctx, append(append(all, r...), s...)...)
	}
	if err := records.Commit(ctx, r...); err != nil {
		return err
	}
	return sessions.Commit(ctx, s...)
}

// prepare checks the operations and returns them as a backend gets them.
func (s *Store) prepare(ops []Op) ([]Op, error) {
	if len(ops) > MaxCommitOps {
		return nil, fmt.Errorf("%w: a commit of %d operations, more than %d", ErrInvalid, len(ops), MaxCommitOps)
	}
	if err := checkOnce(ops); err != nil {
		return nil, err
	}
	ready, size := make([]Op, len(ops)), 0
	for i, op := range ops {
		n, err := s.prepareOp(&op)
		if err != nil {
			return nil, err
		}
		if size += n; size > MaxCommitBytes {
			return nil, fmt.Errorf("%w: a commit of more than %d bytes", ErrInvalid, MaxCommitBytes)
		}
		ready[i] = op
	}
	return ready, nil
}

// prepareOp checks and completes one operation and says how many bytes it counts for.
func (s *Store) prepareOp(op *Op) (int, error) {
	c, err := s.collection(op.Collection)
	if err != nil {
		return 0, err
	}
	d := &op.Doc
	if err := checkID(d.ID); err != nil {
		return 0, err
	}
	switch op.Kind {
	case OpInsert:
		d.Version = 0
	case OpUpdate, OpDelete, OpCheck:
		if d.Version < 1 {
			return 0, fmt.Errorf("%w: version %d guards a write to %s", ErrInvalid, d.Version, c.Name)
		}
	default:
		return 0, fmt.Errorf("%w: operation %d", ErrInvalid, op.Kind)
	}
	if op.Kind == OpDelete || op.Kind == OpCheck {
		*d = Doc{ID: d.ID, Version: d.Version}
		return len(d.ID), nil
	}
	return s.prepareDoc(c, d)
}

func (s *Store) prepareDoc(c *collection, d *Doc) (size int, err error) {
	size = len(d.ID) + len(d.Body)
	for field, k := range d.Keys {
		if !c.fields[field] {
			return 0, fmt.Errorf("%w: no index of %s has a field %q", ErrInvalid, c.Name, field)
		}
		if err := checkKey(k); err != nil {
			return 0, fmt.Errorf("%w (field %s of %s)", err, field, c.Name)
		}
		size += len(k)
	}
	if size > MaxCommitBytes { // judged before sealing, which costs more
		return size, nil
	}
	if !d.ExpiresAt.IsZero() {
		if !c.Expires {
			return 0, fmt.Errorf("%w: documents of %s do not expire", ErrInvalid, c.Name)
		}
		d.ExpiresAt = d.ExpiresAt.UTC().Truncate(time.Millisecond)
		if y := d.ExpiresAt.Year(); y <= 1970 || y > 9999 {
			return 0, fmt.Errorf("%w: expiry in the year %d", ErrInvalid, y)
		}
	}
	if c.Sealed {
		if d.Body, err = s.options.Sealer.Seal(address(c.Name, d.ID), d.Body); err != nil {
			return 0, fmt.Errorf("store: sealing a body of %s: %w", c.Name, err)
		}
	}
	return size, nil
}

// checkOnce refuses a commit that names a document twice: its operations have no order.
func checkOnce(ops []Op) error {
	if len(ops) <= 8 { // comparing each pair beats a map
		for i := range ops {
			for j := range i {
				if ops[i].Doc.ID == ops[j].Doc.ID && ops[i].Collection == ops[j].Collection {
					return fmt.Errorf("%w: a commit names a document of %s twice", ErrInvalid, ops[i].Collection)
				}
			}
		}
		return nil
	}
	type name struct{ collection, id string }
	seen := make(map[name]struct{}, len(ops))
	for i := range ops {
		n := name{ops[i].Collection, ops[i].Doc.ID}
		if _, twice := seen[n]; twice {
			return fmt.Errorf("%w: a commit names a document of %s twice", ErrInvalid, n.collection)
		}
		seen[n] = struct{}{}
	}
	return nil
}

// address binds a sealed body to its document, so that it opens nowhere else.
func address(collection, id string) []byte {
	b := make([]byte, 0, len(collection)+1+len(id))
	return append(append(append(b, collection...), 0), id...)
}
