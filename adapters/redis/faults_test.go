package redis_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

// faults are mistakes that the scripts could have, and the case of the conformance suite or the test that catches each.
var faults = []struct{ name, caught, old, new string }{
	// Guards
	{"an insert replaces what is there", "guards", "if old and old.live then return {'taken', c.name, ''} end", ""},
	{"updates are not guarded by the version", "guards", "old.version ~= version", "kind == 'update' and false"},
	{"deletes are not guarded by the version", "guards", "old.version ~= version", "kind == 'delete' and false"},
	{"checks are not guarded by the version", "check", "old.version ~= version", "kind == 'check' and false"},
	{"versions are compared as numbers", "largeNumbers", "old.version ~= version", "tonumber(old.version) ~= tonumber(version)"},
	{"guards hold on an expired document", "expiry_guards", "not old.live or", ""},
	{"an expired document holds its id", "expired_id_replaced", "old and old.live then", "old then"},
	{"a check is a delete", "check", "kind == 'delete' then", "kind ~= 'insert' then"},

	// All or nothing
	{"documents are written while guards are judged", "all_or_nothing", "puts[#puts + 1] = op", "puts[#puts + 1] = op redis.call('HSET', c.docs .. id, 'm', op.m, 'b', op.b)"},
	{"a delete is made while guards are judged", "all_or_nothing", "removals[#removals + 1] = op", "redis.call('DEL', c.docs .. id) redis.call('ZREM', c.ids, id)"},
	{"only the first operation is written", "all_or_nothing", "for _, op in ipairs(puts) do redis.call('HSET'", "for _, op in ipairs({puts[1]}) do redis.call('HSET'"},

	// Unique keys
	{"nothing is unique", "unique_per_tenant", "local k = x.unique and", "local k = false and"},
	{"empty keys are held to uniqueness", "unique_empty", "if k and string.find(k, '[^%z]') then", "if k then"},
	{"two of one commit take the same key", "unique_within_commit", "if claimed[claim] then", "if false then"},
	{"claims of two indexes meet", "sameTexts", "local claim = x.entries .. '\\0' .. k", "local claim = k"},
	{"keys are judged on the state before", "unique_moves", "if not named[op.c.docs .. id] then", "if op.id ~= id then"},
	{"an expired holder keeps its key", "expired_key_taken", "if holder.live then return", "if holder then return"},
	{"a live holder loses its key", "unique_per_tenant", "if holder.live then return {'taken', op.c.name, x.name} end", ""},
	{"an expired holder stays", "takenOver", "removals[#removals + 1] = {c = op.c, id = id, old = holder}", ""},
	{"joined keys meet that differ in their parts", "unique_bytes", "return table.concat(values, '\\0')", "return table.concat(values)"},
	{"a key is held by those that begin with it", "unique_bytes", "'(' .. k .. '\\1'", "'(' .. k .. '\\255'"},
	{"keys are blind to case", "unique_bytes", "values[i] = d.keys[field] or ''", "values[i] = string.lower(d.keys[field] or '')"},
	{"a checked document's key is free", "unique_moves", "if kind ~= 'check' then named", "if true then named"},
	{"an update does not look who holds its keys", "newUniqueIndex", "ipairs(holders(x, k))", "ipairs(op.old and op.old.packed == op.new.packed and {} or holders(x, k))"},

	// Indexes
	{"an entry is left behind after an update", "index_follows_update", "if before then redis.call('ZREM', x.entries, before) end", ""},
	{"an update is not entered", "index_follows_update", "redis.call('ZADD', x.entries, 0, after)", "if not before then redis.call('ZADD', x.entries, 0, after) end"},
	{"entries of equal keys are left as they are of others", "index_follows_update", "if not old or old.packed ~= new.packed then", "if not old then"},
	{"a delete leaves the document", "crud", "redis.call('DEL', c.docs .. id)", ""},
	{"a delete leaves its id", "hostile_ids", "redis.call('ZREM', c.ids, id)", ""},
	{"a delete leaves its entries", "index_follows_update", "redis.call('ZREM', x.entries, entry(x, d, id))", ""},
	{"an insert does not enter its id", "guards", "if not old then redis.call('ZADD', c.ids, 0, id) end", ""},
	{"a new document's keys are those of the one that it replaces", "expired_id_replaced", "local before, after = old and entry(x, old, id), entry(x, new, id)", "local before, after = old and entry(x, old, id), entry(x, old or new, id)"},
	{"ids end at the first NUL of an entry", "four_fields", "for _ = 1, #x.fields do from", "for _ = 1, math.min(1, #x.fields) do from"},

	// Expiry
	{"a document lives at its last instant", "expiry_to_the_millisecond", "tonumber(expires) > now", "tonumber(expires) >= now"},
	{"nothing expires", "expiry_on_read", "live = expires == '0' or tonumber(expires) > now", "live = true"},
	{"expiry is not entered", "sweep", "redis.call('ZADD', c.expiry, new.expires, id)", ""},
	{"an expiry that ends is left behind", "expiry_moved", "redis.call('ZREM', c.expiry, id)\n  end\n  if not old", "\n  end\n  if not old"},
	{"a removed document's expiry is left behind", "expired_key_taken", "if d.expires ~= '0' then redis.call('ZREM', c.expiry, id) end", ""},
	{"expired documents are counted", "expiry_on_read", "if expired == 0 or size == 0 then", "if true then"},
	{"all that is expired is outside of the counted range", "expiredCrowd", "return size - #gone()", "return size"},
	{"all that is expired is inside of the counted range", "expiredCrowd", "return size - #gone()", "return size - expired"},
	{"expired documents are counted where they are many", "expiredCrowd", "if stored(c, owner(x, member)).live then live = live + 1 end", "live = live + 1"},
	{"expired documents take places of a page", "expiry_and_pages", "if not parse(d[1]).live then\n      -- takes no place", "if not parse(d[1]).live then\n      left = left - 1"},
	{"expired documents are skipped as others", "expiry_and_pages", "if not parse(d[1]).live then\n      -- takes no place", "if not parse(d[1]).live then\n      if skip > 0 then skip = skip - 1 end"},
	{"a jump does not count those that expired", "expiredCrowd", "if p <= place then place = place + 1 end", ""},
	{"a jump takes the expired ones in any order", "expiredCrowd", "table.sort(places)", ""},
	{"a jump counts from the other end", "expiredCrowd", "places[i] = desc and first + size - 1 - rank or rank - first", "places[i] = rank - first"},
	{"a jump counts what expired before the range", "expiredCrowd", "if rank and rank >= first and", "if rank and"},
	{"a jump counts what expired behind the range", "expiredCrowd", "and rank < first + size then", "then"},
	{"a sweep ignores its limit", "sweep", "'LIMIT', 0, arg()", "'LIMIT', 0, -1"},
	{"a sweep only says that it removes", "sweep", "for _, o in ipairs(old) do erase(c, o.id, o.d) end", ""},
	{"a sweep removes what is about to expire", "sweep", "ipairs(redis.call('ZRANGEBYSCORE', c.expiry, '-inf', now, 'LIMIT'", "ipairs(redis.call('ZRANGEBYSCORE', c.expiry, '-inf', now + 3600000, 'LIMIT'"},

	// Ranges
	{"a range begins one too late", "range_bounds", "string.sub(low, 1, 1) == '[' and '(' or '['", "'['"},
	{"a cursor's place is read again", "cursor_pages", "string.sub(low, 1, 1) == '[' and '(' or '['", "'('"},
	{"a range begins at the beginning of the index", "range_bounds", "first = redis.call('ZLEXCOUNT', x.entries, '-'", "redis.call('ZLEXCOUNT', x.entries, '-'"},
	{"a descending page begins one too early", "descending", "desc and first + size - place - n", "desc and first + size - place - n - 1"},
	{"a descending page is ascending", "descending", "members[desc and n + 1 - i or i]", "members[i]"},
	{"offsets are ignored", "offset_pages", "place, skip = skip, 0", "skip = 0"},

	// Structure
	{"a program that goes by an older structure writes", "newIndexes", "if stale(generation) then return {'stale'} end\n\nlocal collections", "\nlocal collections"},
	{"indexes are full as soon as they are recorded", "newIndexes", "== 0 and 'filled ' or 'filling '", "== 0 and 'filled ' or 'filled '"},
	{"filling passes over documents", "newIndexes", "'LIMIT', 0, page", "'LIMIT', 1, page"},
	{"filling enters one index alone", "newIndexes", "for _, x in ipairs(c.indexes) do redis.call('ZADD', x.entries, 0, entry(x, d, id)) end", "redis.call('ZADD', c.indexes[1].entries, 0, entry(c.indexes[1], d, id))"},

	// Servers
	{"a replica is read", "failover", "if type(answer) == 'table' and answer.err then", "if false then"},
	{"a full memory is seen half-way", "refusedWrites", "local why = refused(arg() == '1')", "local why = refused(arg() == '0')"},
	{"keys of other kinds are met half-way", "foreignKeys", "\nwritable(collections)\n", "\n"},
	{"rights are missed half-way", "lostRight", "\nwritable(collections)\n", "\n"},
	{"a right is missed behind the first write", "lostRight", "redis.call('DEL', KEYS[2])", ""},
}

// own are tests that are no cases of the suite.
var own = map[string]func(testing.TB){
	"largeNumbers": largeNumbers, "expiredCrowd": expiredCrowd, "newIndexes": newIndexes, "newUniqueIndex": newUniqueIndex,
	"takenOver": takenOver, "sameTexts": sameTexts, "failover": failover, "foreignKeys": foreignKeys,
	"lostRight":     func(t testing.TB) { lostRight(t, engines.Redis) },
	"refusedWrites": func(t testing.TB) { refusedWrites(t, engines.Redis) },
}

// recorder is a test that notes failures instead of failing, and the driver that it is about.
type recorder struct {
	testing.TB
	driver   store.Driver
	mu       sync.Mutex
	failures []string
}

// driver is the one that a test is about.
func driver(t testing.TB) store.Driver {
	if r, ok := t.(*recorder); ok {
		return r.driver
	}
	return redis.Driver
}

func (r *recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, text)
}

func (r *recorder) Errorf(format string, args ...any) { r.note(fmt.Sprintf(format, args...)) }
func (r *recorder) Error(args ...any)                 { r.note(fmt.Sprint(args...)) }
func (r *recorder) FailNow()                          { runtime.Goexit() }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	r.FailNow()
}

// record runs a test as testing does, in a goroutine that it may leave, and answers its failures.
func record(t *testing.T, d store.Driver, run func(*recorder)) []string {
	r := &recorder{TB: t, driver: d}
	var done sync.WaitGroup
	done.Go(func() { run(r) })
	done.Wait()
	return r.failures
}

func runCase(t *testing.T, d store.Driver, c storetest.Case) []string {
	u := parse(t, engines.Fresh(t, engines.Redis))
	return record(t, d, func(r *recorder) {
		c.Run(r, func(ctx context.Context, s store.Schema) (store.Backend, error) { return d.Open(ctx, u, s, quiet) })
	})
}

// TestPlantedFaults plants each fault in the scripts and demands that the case or test named with it fails. That all of them
// pass without a fault is what the other tests show.
func TestPlantedFaults(t *testing.T) {
	engines.URL(t, engines.Redis) // or skip
	cases := map[string]storetest.Case{}
	for _, c := range storetest.Cases() {
		cases[c.Name] = c
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			d, err := redis.Faulty(f.old, f.new)
			if err != nil {
				t.Fatal(err)
			}
			var failures []string
			if test, ok := own[f.caught]; ok {
				failures = record(t, d, func(r *recorder) { test(r) })
			} else if c, ok := cases[f.caught]; ok {
				failures = runCase(t, d, c)
			} else {
				t.Fatalf("there is no test %q", f.caught)
			}
			if len(failures) == 0 {
				t.Fatalf("%s does not notice", f.caught)
			}
			t.Logf("%s: %.300s", f.caught, failures[0])
		})
	}
}
