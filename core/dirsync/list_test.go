package dirsync_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/store"
)

var storeRange store.Range

func (w *world) filter(t *scim.ResourceType, s string) *scim.Filter {
	w.t.Helper()
	f, err := scim.ParseFilter(t, s)
	must(w.t, err)
	return f
}

func names(p dirsync.Page) (list []string) {
	for _, o := range p.Items {
		for _, name := range []string{"userName", "displayName"} {
			if s, ok := o.Resource[name].(string); ok {
				list = append(list, s)
				break
			}
		}
	}
	return list
}

func TestFilters(t *testing.T) {
	w := newWorld(t)
	for n := range 12 {
		w.create(fmt.Sprintf("u%02d", n))
	}
	a := w.create("Anna")
	w.patch(a.ID, `[{"op":"add","path":"displayName","value":"The Boss"},{"op":"add","path":"title","value":"boss"}]`)
	u00, err := w.directories.Users(w.ctx, w.d, dirsync.Query{Count: 1})
	must(t, err)
	g := w.group("team", a.ID, u00.Items[0].ID)
	both := `members.value eq "` + a.ID + `" and `
	for _, c := range []struct {
		filter string
		want   []string
	}{
		{`userName eq "ANNA"`, []string{"Anna"}},
		{`id eq "` + a.ID + `"`, []string{"Anna"}},
		{`id eq "x"`, nil},
		{`externalId eq "ext-u03"`, []string{"u03"}},
		{`externalId eq "EXT-u03"`, nil},
		{`emails.value eq "U05@example.com"`, []string{"u05"}},
		{`emails[value eq "u05@example.com"]`, []string{"u05"}},
		{`emails.value eq "nobody"`, nil},
		{`displayName eq "the boss"`, []string{"Anna"}},
		{`displayName eq "the boss" and active eq false`, nil},
		{`userName sw "u1"`, []string{"u10", "u11"}},
		{`userName eq "u01" or userName eq "u02"`, []string{"u01", "u02"}},
		{`title co "oss"`, []string{"Anna"}},
		{`not (userName sw "u")`, []string{"Anna"}},
		{`groups.value eq "` + g.ID + `"`, []string{"u00", "Anna"}},
		{`groups.display eq "team" and title pr`, []string{"Anna"}},
		{`meta.lastModified gt "2020-01-01T00:00:00Z" and userName ew "na"`, []string{"Anna"}},
		{`meta.lastModified lt "2020-01-01T00:00:00Z"`, nil},
	} {
		p, err := w.directories.Users(w.ctx, w.d, dirsync.Query{Filter: w.filter(scim.User, c.filter), Count: 50})
		if err != nil || !slices.Equal(names(p), c.want) || p.Total != int64(len(c.want)) {
			t.Errorf("%s: %v of %d, %v, want %v", c.filter, names(p), p.Total, err, c.want)
		}
	}
	for filter, want := range map[string][]string{
		`displayName eq "TEAM"`: {"team"}, `members eq "` + a.ID + `"`: {"team"}, `members[value eq "` + a.ID + `"]`: {"team"},
		`id eq "` + g.ID + `" and members eq "` + a.ID + `"`: {"team"}, `members.value eq "x"`: nil, `members.type eq "User"`: {"team"}, `externalId pr`: nil,
		both + `members.value eq "` + u00.Items[0].ID + `"`: {"team"}, both + `not (members.value eq "` + u00.Items[0].ID + `")`: nil,
	} {
		p, err := w.directories.Groups(w.ctx, w.d, dirsync.Query{Filter: w.filter(scim.Group, filter), Count: 50})
		if err != nil || !slices.Equal(names(p), want) {
			t.Errorf("%s: %v, %v, want %v", filter, names(p), err, want)
		}
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	var all []string
	for n := range 23 {
		name := fmt.Sprintf("u%02d", (n*7)%23)
		w.create(name)
		all = append(all, name)
	}
	sorted := slices.Sorted(slices.Values(all))
	order := func(sortBy string, desc bool) *scim.Order {
		o, err := scim.ParseOrder(scim.User, sortBy, desc)
		must(t, err)
		return o
	}
	reversed := slices.Clone(sorted)
	slices.Reverse(reversed)
	for _, c := range []struct {
		what string
		q    dirsync.Query
		want []string
	}{
		{"creation", dirsync.Query{}, all},
		{"userName", dirsync.Query{Order: order("userName", false)}, sorted},
		{"userName descending", dirsync.Query{Order: order("userName", true)}, reversed},
		{"externalId", dirsync.Query{Order: order("externalId", false)}, sorted},
		{"externalId descending", dirsync.Query{Order: order("externalId", true)}, reversed},
		{"a filter", dirsync.Query{Filter: w.filter(scim.User, `name.givenName eq "G"`)}, all},
		{"a filter by userName", dirsync.Query{Filter: w.filter(scim.User, `name.givenName eq "G"`), Order: order("userName", true)}, reversed},
		{"a prefix", dirsync.Query{Filter: w.filter(scim.User, `userName sw "u"`)}, all},
	} {
		var byIndex, byCursor []string
		for start := 1; ; start += 5 {
			q := c.q
			q.Start, q.Count = start, 5
			p, err := w.directories.Users(w.ctx, w.d, q)
			if err != nil || p.Total != 23 || p.Next != "" {
				t.Fatalf("%s from %d: %d, %v", c.what, start, p.Total, err)
			}
			if len(p.Items) == 0 {
				break
			}
			byIndex = append(byIndex, names(p)...)
		}
		for cursor := ""; ; {
			q := c.q
			q.Cursor, q.Count = &cursor, 5
			p, err := w.directories.Users(w.ctx, w.d, q)
			if err != nil || p.Total != 23 {
				t.Fatalf("%s behind %q: %d, %v", c.what, cursor, p.Total, err)
			}
			byCursor = append(byCursor, names(p)...)
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		if !slices.Equal(byIndex, c.want) || !slices.Equal(byCursor, c.want) {
			t.Errorf("%s: %v by index, %v by cursor, want %v", c.what, byIndex, byCursor, c.want)
		}
	}
	for _, bad := range []string{"x", "!", "e30x", "eyJhIjoieCJ9"} {
		_, err := w.directories.Users(w.ctx, w.d, dirsync.Query{Cursor: &bad, Count: 5})
		w.refused(err, fault.Invalid, "invalid_cursor")
	}
}

// TestCursorsHold deletes, between two pages, who was on the first: nobody behind them is missed.
func TestCursorsHold(t *testing.T) {
	for what, filter := range map[string]string{"a stream": `name.givenName eq "G"`, "candidates": `userName eq "a" or userName eq "b" or userName eq "c" or userName eq "d"`} {
		for _, sortBy := range []string{"", "userName", "externalId"} {
			w := newWorld(t)
			for _, name := range []string{"a", "b", "c", "d"} {
				w.create(name)
			}
			var seen []string
			for cursor := ""; ; {
				q := dirsync.Query{Filter: w.filter(scim.User, filter), Cursor: &cursor, Count: 2}
				if sortBy != "" {
					var err error
					q.Order, err = scim.ParseOrder(scim.User, sortBy, false)
					must(t, err)
				}
				p, err := w.directories.Users(w.ctx, w.d, q)
				must(t, err)
				for _, o := range p.Items {
					must(t, w.directories.DeleteUser(w.ctx, w.d, o.ID, nil))
				}
				seen = append(seen, names(p)...)
				if cursor = p.Next; cursor == "" {
					break
				}
			}
			if want := []string{"a", "b", "c", "d"}; !slices.Equal(seen, want) {
				t.Errorf("%s by %q: %v, want %v", what, sortBy, seen, want)
			}
		}
	}
}

// TestCursorsAreOfOneList gives the cursor of each list to every other (RFC 9865 §2: all else of the query stays as it was).
func TestCursorsAreOfOneList(t *testing.T) {
	w := newWorld(t)
	other := w.directory(w.org, dirsync.DirectoryInput{})
	for n := range 3 {
		w.create(fmt.Sprint("u", n))
		w.group(fmt.Sprint("g", n))
	}
	order := func(sortBy string, desc bool) *scim.Order {
		o, err := scim.ParseOrder(scim.User, sortBy, desc)
		must(t, err)
		return o
	}
	lists := map[string]func(cursor *string) (dirsync.Page, error){
		"groups": func(c *string) (dirsync.Page, error) {
			return w.directories.Groups(w.ctx, w.d, dirsync.Query{Cursor: c, Count: 1})
		},
		"another directory": func(c *string) (dirsync.Page, error) {
			return w.directories.Users(w.ctx, other, dirsync.Query{Cursor: c, Count: 1})
		},
	}
	for name, q := range map[string]dirsync.Query{
		"users": {}, "by userName": {Order: order("userName", false)}, "the other way": {Order: order("userName", true)}, "by title": {Order: order("title", false)},
		"filtered": {Filter: w.filter(scim.User, `userName pr`)}, "filtered otherwise": {Filter: w.filter(scim.User, `userName sw "u"`)},
		"filtered and sorted": {Filter: w.filter(scim.User, `userName pr`), Order: order("title", false)},
	} {
		lists[name] = func(c *string) (dirsync.Page, error) {
			q.Cursor, q.Count = c, 1
			return w.directories.Users(w.ctx, w.d, q)
		}
	}
	for name, list := range lists {
		first, err := list(new(string))
		must(t, err)
		if name == "another directory" {
			continue // is empty
		}
		for to, list := range lists {
			p, err := list(&first.Next)
			if to == name {
				if err != nil || len(p.Items) != 1 || p.Items[0].ID == first.Items[0].ID {
					t.Errorf("%s: %v, %v", name, names(p), err)
				}
				continue
			}
			w.refused(err, fault.Invalid, "invalid_cursor")
		}
	}
}

// TestLargestPage asks for as many as a page may have, which is more than the store gives at once.
func TestLargestPage(t *testing.T) {
	w := newWorld(t)
	for n := range store.MaxPage + 1 {
		w.create(fmt.Sprintf("u%04d", n))
	}
	byTitle, err := scim.ParseOrder(scim.User, "title", false)
	must(t, err)
	for what, q := range map[string]dirsync.Query{
		"an index": {}, "an index by cursor": {Cursor: new(string)}, "from the second": {Start: 2},
		"a stream": {Filter: w.filter(scim.User, `active eq true`)}, "sorted": {Filter: w.filter(scim.User, `active eq true`), Order: byTitle},
	} {
		q.Count = store.MaxPage + 5
		p, err := w.directories.Users(w.ctx, w.d, q)
		if err != nil || len(p.Items) != store.MaxPage || p.Total != store.MaxPage+1 || (p.Next == "") != (q.Cursor == nil) {
			t.Errorf("%s: %d of %d, next %q, %v", what, len(p.Items), p.Total, p.Next, err)
		}
	}
}
