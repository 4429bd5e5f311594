package id_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/id"
)

func TestUUID(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	s := id.Source{Now: func() time.Time { return now }, Rand: rand.Reader}
	a := s.UUID()
	now = now.Add(time.Millisecond)
	b := s.UUID()
	if !id.IsUUID(a) || a[14] != '7' || !strings.ContainsRune("89ab", rune(a[19])) {
		t.Errorf("%s is no version 7 UUID", a)
	}
	if a >= b {
		t.Errorf("%s was made before %s", a, b)
	}
	for _, no := range []string{"", a[:35], a + "0", strings.ToUpper("0193a1b2-0000-7000-8000-00000000000f"), strings.Replace(a, "-", "0", 1)} {
		if id.IsUUID(no) {
			t.Errorf("%q is taken for a UUID", no)
		}
	}
}

func TestSecretsAndEqual(t *testing.T) {
	s := id.Source{Now: time.Now, Rand: rand.Reader}
	a, b := s.Secret("at_"), s.Secret("at_")
	if a == b || !strings.HasPrefix(a, "at_") || len(a) != 3+43 || len(s.Hex(24)) != 48 {
		t.Errorf("secrets %s, %s", a, b)
	}
	if !id.Equal(a, a) || id.Equal(a, b) || id.Equal("", "") || id.Equal("", a) {
		t.Error("Equal is wrong")
	}
	if id.Hash("a", "b") == id.Hash("ab") || id.Hash("a", "b") == id.Hash("a", "c") {
		t.Error("parts run together")
	}
}
