package redis

import (
	"fmt"
	"strings"

	"github.com/portico-sso/portico/ports/store"
)

// CommitSHA is in each commit on the wire, and in nothing else.
var CommitSHA = standard.commit.sha

// Faulty is the driver with a mistake in its scripts: old, which is there once, is new.
func Faulty(old, new string) (store.Driver, error) {
	s, found := *standard, 0
	for _, one := range []*script{&s.commit, &s.get, &s.list, &s.count, &s.sweep, &s.structure, &s.grow, &s.fill} {
		if n := strings.Count(one.text, old); n == 1 {
			*one = newScript(strings.Replace(one.text, old, new, 1))
			found++
		} else if n > 1 {
			return store.Driver{}, fmt.Errorf("%q is in a script %d times", old, n)
		}
	}
	if found == 0 {
		return store.Driver{}, fmt.Errorf("%q is in no script", old)
	}
	return store.Driver{Schemes: Driver.Schemes, Open: s.open}, nil
}
