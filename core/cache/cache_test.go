package cache_test

import (
	"errors"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/cache"
)

func TestCache(t *testing.T) {
	now := time.Unix(0, 0)
	c := cache.New[int](func() time.Time { return now })
	loads := 0
	get := func() int {
		v, err := c.Get("k", func() (int, error) { loads++; return loads, nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for range 2 {
		if get() != 1 {
			t.Error("not kept")
		}
	}
	now = now.Add(cache.TTL)
	if get() != 2 {
		t.Error("kept for longer than TTL")
	}
	c.Clear()
	if get() != 3 {
		t.Error("kept past Clear")
	}
	failure := errors.New("failure")
	if _, err := c.Get("e", func() (int, error) { return 0, failure }); !errors.Is(err, failure) {
		t.Error("error lost")
	}
	if v, err := c.Get("e", func() (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Error("an error was kept")
	}
}

func TestALoadThatBeganBeforeClearIsNotKept(t *testing.T) {
	c := cache.New[string](func() time.Time { return time.Unix(0, 0) })
	old, _ := c.Get("k", func() (string, error) { c.Clear(); return "old", nil })
	fresh, _ := c.Get("k", func() (string, error) { return "new", nil })
	if old != "old" || fresh != "new" {
		t.Errorf("got %s, then %s", old, fresh)
	}
}
