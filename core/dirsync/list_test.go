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
	g := w.group("team", a.ID)
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
		{`groups.value eq "` + g.ID + `"`, []string{"Anna"}},
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
