package redis_test

import (
	"slices"
	"testing"

	"github.com/portico-sso/portico/ports/store"
)

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func between(s []string, from, to string) (found []string) {
	for _, e := range s {
		if e >= from && e < to {
			found = append(found, e)
		}
	}
	return found
}

// checkPages holds that a range has these entries, at+id, counted and paged by offsets both ways.
func checkPages(t testing.TB, s *store.Store, r store.Range, want []string) {
	t.Helper()
	if n, err := s.Count(t.Context(), "codes", r); err != nil || n != int64(len(want)) {
		t.Errorf("count %+v: %d, %v, want %d", r, n, err, len(want))
	}
	for _, r.Desc = range []bool{false, true} {
		for r.Offset = 0; r.Offset < len(want)+2; r.Offset += 1 + len(want)/40 {
			for _, r.Limit = range []int{1, 7, 1000} {
				docs, err := s.Range(t.Context(), "codes", r)
				var got []string
				for _, d := range docs {
					got = append(got, d.Keys["at"]+d.ID)
				}
				if w := window(want, r); err != nil || !slices.Equal(got, w) {
					t.Fatalf("range %+v: %q, %v, want %q", r, got, err, w)
				}
			}
		}
	}
}

func window(all []string, r store.Range) []string {
	all = slices.Clone(all)
	if r.Desc {
		slices.Reverse(all)
	}
	all = all[min(r.Offset, len(all)):]
	return all[:min(r.Limit, len(all))]
}
