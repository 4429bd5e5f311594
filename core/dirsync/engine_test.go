package dirsync_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/internal/engines/enginetest"
)

// TestEngines compares random operations with the model on real engines, and on MongoDB's fake where no server is named.
func TestEngines(t *testing.T) { enginetest.Run(t, compareOnEngine) }

func compareOnEngine(t *testing.T) {
	b := enginetest.Open(t, schema())
	c := &comparison{open: func(t testing.TB) *world { return worldOver(t, b) }}
	c.run(t, number(20, 500), 1)
}

// BenchmarkSQLite is what requests cost on SQLite, with the built-in mapping.
func BenchmarkSQLite(b *testing.B) {
	w := &world{}
	b.Run("create", func(b *testing.B) {
		w = benchWorld(b)
		for n := 0; b.Loop(); n++ {
			w.create(fmt.Sprint("u", n))
		}
	})
	for _, size := range []int{10, 10_000} {
		w = benchWorld(b)
		var ids []string
		for n := range size {
			ids = append(ids, w.create(fmt.Sprint("u", n)).ID)
		}
		g := w.group("team", ids...)
		one := w.create("one").ID
		b.Run(fmt.Sprintf("one member of %d", size), func(b *testing.B) {
			for b.Loop() {
				w.patchGroup(g.ID, `[{"op":"add","path":"members","value":[{"value":"`+one+`"}]}]`)
				w.patchGroup(g.ID, `[{"op":"remove","path":"members[value eq \"`+one+`\"]"}]`)
			}
		})
		b.Run(fmt.Sprintf("deactivate of %d", size), func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				w.patch(one, fmt.Sprintf(`[{"op":"replace","path":"active","value":%t}]`, n%2 == 1))
			}
		})
	}
	b.Run("100 members", func(b *testing.B) {
		var values []string
		for n := range 100 {
			values = append(values, `{"value":"`+w.create(fmt.Sprint("m", n)).ID+`"}`)
		}
		g := w.group("hundred")
		add := `[{"op":"add","path":"members","value":[` + strings.Join(values, ",") + `]}]`
		for b.Loop() {
			w.patchGroup(g.ID, add)
			b.StopTimer()
			_, err := w.directories.ReplaceGroup(w.ctx, w.d, g.ID, w.groupBody("hundred"), nil)
			must(b, err)
			b.StartTimer()
		}
	})
}

func benchWorld(b *testing.B) *world {
	w := worldOver(b, enginetest.OpenSQLite(b, schema()))
	quiet := true
	var err error
	w.d, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{Quiet: &quiet})
	must(b, err)
	return w
}
