package key_test

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/ports/store"
)

func TestTextFitsAndNeverCollides(t *testing.T) {
	long := strings.Repeat("é", 300)
	seen := map[string]string{}
	for _, s := range []string{"", "a", "A", "a ", long, long + "x", long + "y", "a\x00b", "a\x00c", "\xff", "\xfe", "a\uFFFDb",
		strings.Repeat("\x00", 500), strings.Repeat("\xff", 500)} {
		k := key.Text(s)
		if len(k) > store.MaxKeyBytes || !utf8.ValidString(k) || strings.Contains(k, "\x00") {
			t.Errorf("%.20q: the port refuses key %.40q of %d bytes", s, k, len(k))
		}
		if other, taken := seen[k]; taken {
			t.Errorf("%.20q and %.20q share a key", s, other)
		}
		seen[k] = s
	}
}

func TestFold(t *testing.T) {
	for _, pair := range [][2]string{{"Alice", "aLICE"}, {"ÄÖÜ", "äöü"}, {"ΣΑΣ", "σας"}} {
		if key.Fold(pair[0]) != key.Fold(pair[1]) {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"a", "b"}, {"ı", "i"}, {"İ", "i"}, {"ſ", "s"}, {"\u212a", "k"}} { // the last ones look or sound alike
		if key.Fold(pair[0]) == key.Fold(pair[1]) {
			t.Errorf("%s and %s are the same", pair[0], pair[1])
		}
	}
}

func TestOrder(t *testing.T) {
	numbers := []int64{math.MinInt64, -10, -9, -1, 0, 1, 9, 10, math.MaxInt64}
	for i := 1; i < len(numbers); i++ {
		if key.Number(numbers[i-1]) >= key.Number(numbers[i]) {
			t.Errorf("%d sorts behind %d", numbers[i-1], numbers[i])
		}
	}
	at := time.Date(2026, 11, 25, 9, 0, 0, 0, time.FixedZone("", 3600))
	if key.Time(at) >= key.Time(at.Add(time.Microsecond)) || key.Time(at) != key.Time(at.UTC()) {
		t.Error("times do not sort")
	}
}
