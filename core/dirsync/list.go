package dirsync

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// What a list that no index answers may cost (RFC 7644 §3.12, tooMany).
const (
	maxScanned  = 200_000
	maxScanning = 5 * time.Second
	// maxCandidates bounds what an index is believed to find; more is a scan.
	maxCandidates = store.MaxPage - 1
)

// lister is how one kind of resource is listed.
type lister[T any] struct {
	repo        record.Repo[T]
	directoryID string
	orders      map[string]string // index by the path that it sorts by
	object      func(T) (Object, error)
	mine        func(T) bool
	// candidates are the ids of all that may match, where an index tells them.
	candidates func(ctx context.Context, f *scim.Filter) (ids []string, ok bool, err error)
	// prepare adds to an object what a filter asks of it beside what is stored.
	prepare func(ctx context.Context, f *scim.Filter, o *Object) error
	// finish adds what an answer shows beside what is stored.
	finish func(ctx context.Context, o *Object) error
}

// place is what a cursor says: of which list it is, and behind what the next page begins.
type place struct {
	List string `json:"l"`           // see lister.list
	At   string `json:"a,omitempty"` // the store's cursor, of a list that an index has
	Key  string `json:"k,omitempty"` // the sort key of the last resource, of any other
	ID   string `json:"i,omitempty"` // its id
}

func (p place) String() string { return base64.RawURLEncoding.EncodeToString(encode(p)) }

func badCursor() error {
	return fault.At("cursor", "invalid_cursor", "This cursor is not one of this list. Ask for each page as for the first, and begin with an empty cursor.")
}

// readPlace reads a cursor of a list; nil for none, and for the empty one of a first page.
func readPlace(cursor *string, list string) (*place, error) {
	if cursor == nil || *cursor == "" {
		return nil, nil
	}
	var p place
	body, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err != nil || json.Unmarshal(body, &p) != nil || p.List != list {
		return nil, badCursor()
	}
	return &p, nil
}

// list names what a query asks of a directory, but for the page, so that a cursor goes on with the list that it is of.
func (l lister[T]) list(q Query) string {
	h := fnv.New64a()
	say := func(text string) { fmt.Fprintf(h, "%d:%s", len(text), text) }
	say(l.repo.Noun)
	say(l.directoryID)
	if q.Filter != nil {
		say(q.Filter.Text)
	}
	if q.Order != nil {
		say(fmt.Sprintf("%s %t", q.Order.Path, q.Order.Descending))
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// list answers a query: from an index where one has the order and there is no filter; of candidates where an index tells
// them; and else from the stream of all.
func list[T any](ctx context.Context, s *Service, l lister[T], q Query) (Page, error) {
	q.Count = max(0, min(q.Count, store.MaxPage))
	q.Start = max(1, q.Start)
	behind, err := readPlace(q.Cursor, l.list(q))
	if err != nil {
		return Page{}, err
	}
	page, err := l.find(ctx, s, q, behind)
	if err != nil {
		return Page{}, err
	}
	for i := range page.Items {
		if err := l.finish(ctx, &page.Items[i]); err != nil {
			return Page{}, err
		}
	}
	return page, nil
}

func (l lister[T]) find(ctx context.Context, s *Service, q Query, behind *place) (Page, error) {
	index, aligned := l.index(q.Order)
	if q.Filter == nil && aligned {
		return l.fromIndex(ctx, index, q, behind)
	}
	w := &window{q: q, list: l.list(q), first: q.Start - 1}
	if q.Cursor != nil {
		w.first = 0
	}
	if behind != nil {
		w.behind = &sortKey{behind.Key, behind.ID}
	}
	if q.Filter != nil {
		ids, ok, err := l.candidates(ctx, q.Filter)
		if err != nil {
			return Page{}, err
		}
		if ok && len(ids) <= maxCandidates {
			return l.fromCandidates(ctx, w, ids)
		}
	}
	return l.fromStream(ctx, s, w, index, aligned)
}

// index is the index that has the order, or that of creation.
func (l lister[T]) index(o *scim.Order) (name string, aligned bool) {
	if o == nil {
		return byCreated, true
	}
	if name, ok := l.orders[o.Path.String()]; ok {
		return name, true
	}
	return byCreated, false
}

func (l lister[T]) fromIndex(ctx context.Context, index string, q Query, behind *place) (Page, error) {
	all := store.Range{Index: index, Eq: []string{l.directoryID}}
	total, err := l.repo.Count(ctx, all)
	if err != nil {
		return Page{}, err
	}
	out := Page{Total: total, Start: q.Start}
	all.Desc = q.Order != nil && q.Order.Descending
	if q.Cursor == nil {
		all.Offset = q.Start - 1
	} else if behind != nil {
		if behind.At == "" {
			return Page{}, badCursor()
		}
		all.After = behind.At
	}
	for len(out.Items) < q.Count { // a page of the store may be smaller
		all.Limit = q.Count - len(out.Items)
		page, err := l.repo.List(ctx, all)
		if err != nil {
			if fault.Code(err) == "invalid_cursor" {
				err = badCursor()
			}
			return Page{}, err
		}
		for _, v := range page.Items {
			o, err := l.object(v)
			if err != nil {
				return Page{}, err
			}
			out.Items = append(out.Items, o)
		}
		if out.Next = ""; !page.More {
			break
		}
		all.Offset, all.After = 0, page.Cursors[len(page.Cursors)-1]
		if q.Cursor != nil {
			out.Next = place{List: l.list(q), At: all.After}.String()
		}
	}
	return out, nil
}

// window is the part of the matches that a page shows: those from the first on, or those behind a resource.
type window struct {
	q      Query
	list   string
	first  int // how many matches are before it; of pages by index
	behind *sortKey
	total  int
	items  []Object  // of the window, where matches come in order
	keys   []sortKey // of all matches, where they do not
	last   sortKey   // of the window
	more   bool      // whether there are matches behind it
}

// sortKey is where a resource stands in a list: no two stand in one place, and a resource that goes leaves the others in theirs.
type sortKey struct{ key, id string }

func (w *window) key(o Object) sortKey {
	if w.q.Order == nil {
		return sortKey{key.Time(o.Created), o.ID}
	}
	return sortKey{w.q.Order.Key(o.Resource), o.ID}
}

func (w *window) compare(a, b sortKey) int {
	if o := w.q.Order; o != nil {
		return cmp.Or(o.Compare(a.key, b.key), o.Compare(a.id, b.id))
	}
	return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.id, b.id))
}

// take notes a match that comes in order.
func (w *window) take(o Object) {
	w.total++
	at := w.key(o)
	switch {
	case w.total <= w.first || w.behind != nil && w.compare(at, *w.behind) <= 0:
	case len(w.items) < w.q.Count:
		w.items, w.last = append(w.items, o), at
	default:
		w.more = true
	}
}

func (w *window) page(items []Object) Page {
	p := Page{Items: items, Total: int64(w.total), Start: w.q.Start}
	if w.q.Cursor != nil && w.more && w.last.id != "" {
		p.Next = place{List: w.list, Key: w.last.key, ID: w.last.id}.String()
	}
	return p
}

// chosen are the ids of the window, of matches that are sorted now.
func (w *window) chosen() []string {
	slices.SortFunc(w.keys, w.compare)
	w.total = len(w.keys)
	from := min(w.first, w.total)
	if w.behind != nil {
		from, _ = slices.BinarySearchFunc(w.keys, *w.behind, func(k, behind sortKey) int {
			return cmp.Or(w.compare(k, behind), -1) // behind it
		})
	}
	end := min(from+w.q.Count, w.total)
	var ids []string
	for _, k := range w.keys[from:end] {
		ids, w.last = append(ids, k.id), k
	}
	w.more = end < w.total
	return ids
}

// match reports whether an object fits; without a filter everything does.
func (l lister[T]) match(ctx context.Context, f *scim.Filter, o *Object) (bool, error) {
	if f == nil {
		return true, nil
	}
	if err := l.prepare(ctx, f, o); err != nil {
		return false, err
	}
	fits := f.Match(o.Resource)
	delete(o.Resource, "groups")
	delete(o.Resource, "members")
	return fits, nil
}

func (l lister[T]) fromCandidates(ctx context.Context, w *window, ids []string) (Page, error) {
	slices.Sort(ids)
	docs, err := l.repo.GetMany(ctx, slices.Compact(wellFormed(ids)))
	if err != nil {
		return Page{}, err
	}
	var found []Object
	for _, v := range docs {
		if !l.mine(v) {
			continue
		}
		o, err := l.object(v)
		if err != nil {
			return Page{}, err
		}
		fits, err := l.match(ctx, w.q.Filter, &o)
		if err != nil {
			return Page{}, err
		}
		if fits {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b Object) int { return w.compare(w.key(a), w.key(b)) })
	for _, o := range found {
		w.take(o)
	}
	return w.page(w.items), nil
}

// fromStream looks at every resource of the directory that the filter's bounds leave, up to the limits of a scan.
func (l lister[T]) fromStream(ctx context.Context, s *Service, w *window, index string, aligned bool) (Page, error) {
	r := store.Range{Index: index, Eq: []string{l.directoryID}, Desc: aligned && w.q.Order != nil && w.q.Order.Descending, Limit: 500}
	if w.q.Order == nil || !aligned {
		l.narrow(&r, w.q)
	}
	if w.q.Order == nil && r.Index != byCreated { // another order than that of creation
		aligned = false
	}
	end, scanned := s.now().Add(maxScanning), 0
	for {
		page, err := l.repo.List(ctx, r)
		if err != nil {
			return Page{}, err
		}
		for _, v := range page.Items {
			if err := l.look(ctx, w, v, aligned); err != nil {
				return Page{}, err
			}
		}
		scanned += len(page.Items)
		if !page.More {
			break
		}
		if scanned >= maxScanned || s.now().After(end) {
			return Page{}, &fault.Error{Kind: fault.TooMany, Code: "too_many", Field: "filter",
				Message: "This takes too long: too many resources would have to be looked at. Filter by id, userName, externalId, emails.value, displayName or meta.lastModified."}
		}
		r.After = page.Cursors[len(page.Cursors)-1]
	}
	if aligned {
		return w.page(w.items), nil
	}
	return l.sorted(ctx, w)
}

func (l lister[T]) look(ctx context.Context, w *window, v T, aligned bool) error {
	o, err := l.object(v)
	if err != nil {
		return err
	}
	fits, err := l.match(ctx, w.q.Filter, &o)
	switch {
	case err != nil || !fits:
		return err
	case aligned:
		w.take(o)
	default:
		w.keys = append(w.keys, w.key(o))
	}
	return nil
}

// sorted reads the page of matches that were sorted by their keys.
func (l lister[T]) sorted(ctx context.Context, w *window) (Page, error) {
	ids := w.chosen()
	if len(ids) == 0 {
		return w.page(nil), nil
	}
	docs, err := l.repo.GetMany(ctx, ids)
	if err != nil {
		return Page{}, err
	}
	var items []Object
	for _, v := range docs {
		o, err := l.object(v)
		if err != nil {
			return Page{}, err
		}
		items = append(items, o)
	}
	return w.page(items), nil
}

// narrow has a stream begin and end where the filter's bounds are.
func (l lister[T]) narrow(r *store.Range, q Query) {
	if q.Filter == nil {
		return
	}
	from, to, ok := q.Filter.Bounds("meta.lastModified")
	begin, errFrom := time.Parse(time.RFC3339, from)
	end, errTo := time.Parse(time.RFC3339, to)
	if ok && (errFrom == nil || errTo == nil) {
		r.Index = byChanged
		if errFrom == nil {
			r.From = key.Time(begin)
		}
		if errTo == nil {
			r.To = key.Time(end.Add(time.Millisecond)) // answers show milliseconds
		}
		return
	}
	for path, index := range l.orders {
		if prefix, ok := q.Filter.Prefix(path); ok && index == byUserName && len(prefix) < 400 {
			r.Index, r.Prefix = index, key.Fold(prefix)
		}
	}
}

// mentions counts the parts of a filter that ask of an attribute.
func mentions(e scim.Expr, attribute string) (n int) {
	switch e := e.(type) {
	case *scim.And:
		return mentions(e.Left, attribute) + mentions(e.Right, attribute)
	case *scim.Or:
		return mentions(e.Left, attribute) + mentions(e.Right, attribute)
	case *scim.Not:
		return mentions(e.Of, attribute)
	case *scim.Comparison:
		if e.Path.URN == "" && e.Path.Attribute == attribute {
			n = 1
		}
	case *scim.ValuePath:
		if e.Path.URN == "" && e.Path.Attribute == attribute {
			n = 1
		}
	}
	return n
}

// Users lists users. Faults: TooMany too_many, Invalid invalid_cursor.
func (s *Service) Users(ctx context.Context, d Directory, q Query) (Page, error) {
	l := s.userLister(d)
	if q.NoGroups {
		l.finish = func(context.Context, *Object) error { return nil }
	}
	return list(ctx, s, l, q)
}

func (s *Service) userLister(d Directory) lister[user] {
	return lister[user]{repo: s.users, directoryID: d.ID, object: user.object,
		mine:       func(u user) bool { return u.DirectoryID == d.ID },
		orders:     map[string]string{"userName": byUserName, "meta.created": byCreated, "meta.lastModified": byChanged},
		candidates: func(ctx context.Context, f *scim.Filter) ([]string, bool, error) { return s.userCandidates(ctx, d, f) },
		prepare: func(ctx context.Context, f *scim.Filter, o *Object) error {
			if mentions(f.Root, "groups") == 0 {
				return nil
			}
			return s.addGroups(ctx, d, o)
		},
		finish: func(ctx context.Context, o *Object) error { return s.addGroups(ctx, d, o) }}
}

func (s *Service) userCandidates(ctx context.Context, d Directory, f *scim.Filter) ([]string, bool, error) {
	if ids, ok := f.AnyOf("id"); ok {
		return ids, true, nil
	}
	if names, ok := f.AnyOf("userName"); ok {
		return idsIn(ctx, s.users, byUserName, d.ID, names, func(u user) string { return u.ID })
	}
	for _, path := range []string{"externalId", "emails.value", "emails"} {
		values, ok := f.AnyOf(path)
		if !ok || path != "externalId" && slices.ContainsFunc(values, func(v string) bool { return !identity.IsAddress(v) }) {
			continue
		}
		var ids []string
		for _, value := range values {
			found, err := s.Identities.Named(ctx, d.OrganizationID, d.ID, value)
			if err != nil {
				return nil, false, err
			}
			ids = append(ids, found...)
		}
		return ids, true, nil
	}
	if names, ok := f.AnyOf("displayName"); ok {
		return idsIn(ctx, s.users, byDisplay, d.ID, names, func(u user) string { return u.ID })
	}
	for _, path := range []string{"groups.value", "groups"} {
		if groupID, ok := f.Equal(path); ok {
			return s.idsOfMembers(ctx, d, groupID)
		}
	}
	return nil, false, nil
}

// idsIn reads the ids of those who have one of some names in an index; ok is false where they are too many.
func idsIn[T any](ctx context.Context, r record.Repo[T], index, directoryID string, names []string, idOf func(T) string) (ids []string, ok bool, err error) {
	if len(names) > 100 {
		return nil, false, nil
	}
	for _, name := range names {
		found, err := r.Range(ctx, store.Range{Index: index, Eq: []string{directoryID, key.Fold(name)}, Limit: maxCandidates + 1})
		if err != nil || len(found) > maxCandidates {
			return nil, false, err
		}
		for _, v := range found {
			ids = append(ids, idOf(v))
		}
	}
	return ids, true, nil
}

func (s *Service) idsOfMembers(ctx context.Context, d Directory, groupID string) (ids []string, ok bool, err error) {
	page, err := s.Members(ctx, d, groupID, maxCandidates, "")
	for _, m := range page.Items {
		ids = append(ids, m.Value)
	}
	return ids, page.Next == "", err
}

func (s *Service) groupLister(d Directory) lister[group] {
	return lister[group]{repo: s.groups, directoryID: d.ID, object: group.object,
		mine:       func(g group) bool { return g.DirectoryID == d.ID && !g.Deleted },
		orders:     map[string]string{"displayName": byName, "meta.created": byCreated, "meta.lastModified": byChanged},
		candidates: func(ctx context.Context, f *scim.Filter) ([]string, bool, error) { return s.groupCandidates(ctx, d, f) },
		prepare:    func(ctx context.Context, f *scim.Filter, o *Object) error { return s.addMembers(ctx, d, f, o) },
		finish:     func(context.Context, *Object) error { return nil }}
}

func (s *Service) groupCandidates(ctx context.Context, d Directory, f *scim.Filter) ([]string, bool, error) {
	if ids, ok := f.AnyOf("id"); ok {
		return ids, true, nil
	}
	if names, ok := f.AnyOf("displayName"); ok {
		return idsIn(ctx, s.groups, byName, d.ID, names, func(g group) string { return g.ID })
	}
	if value, ok := f.Equal("externalId"); ok {
		found, err := s.groups.Range(ctx, store.Range{Index: byExternal, Eq: []string{d.OrganizationID, key.Text(value)}})
		var ids []string
		for _, g := range found {
			ids = append(ids, g.ID)
		}
		return ids, true, err
	}
	for _, path := range []string{"members.value", "members"} {
		if value, ok := f.Equal(path); ok {
			found, err := s.groupsOf(ctx, d, value)
			var ids []string
			for _, g := range found {
				ids = append(ids, g.ID)
			}
			return ids, true, err
		}
	}
	return nil, false, nil
}

// addMembers adds the members of a group of which a filter asks: the one that it names, where it asks of nobody else, or all,
// where these are few.
func (s *Service) addMembers(ctx context.Context, d Directory, f *scim.Filter, o *Object) error {
	asks := mentions(f.Root, "members")
	if asks == 0 {
		return nil
	}
	for _, path := range []string{"members.value", "members"} {
		value, ok := f.Equal(path)
		if !ok || asks > 1 {
			continue
		}
		if ids := wellFormed([]string{value}); len(ids) > 0 {
			found, err := s.members.GetMany(ctx, []string{memberID(o.ID, ofUser, value), memberID(o.ID, ofGroup, value)})
			o.Resource["members"] = shownMembers(found)
			return err
		}
	}
	found, err := s.members.Range(ctx, store.Range{Prefix: o.ID + "/", Limit: store.MaxPage})
	if err == nil && len(found) == store.MaxPage {
		err = &fault.Error{Kind: fault.TooMany, Code: "too_many", Field: "filter", Message: "A group has too many members to be looked through. Filter by members.value eq."}
	}
	o.Resource["members"] = shownMembers(found)
	return err
}

func shownMembers(list []membership) []any {
	var out []any
	for _, m := range list {
		v := map[string]any{"value": m.Member, "type": m.shown().Type}
		if m.Display != "" {
			v["display"] = m.Display
		}
		out = append(out, v)
	}
	return out
}
