package dirsync

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
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

// place is what a cursor says: behind which document of an index, or how many matches, the next page begins.
type place struct {
	Index  string `json:"i,omitempty"`
	Desc   bool   `json:"d,omitempty"`
	After  string `json:"a,omitempty"`
	Offset int    `json:"o,omitempty"`
}

func (p place) String() string { return base64.RawURLEncoding.EncodeToString(encode(p)) }

func badCursor() error {
	return fault.At("cursor", "invalid_cursor", "This cursor is not one of this list.")
}

func readPlace(cursor string) (p place, err error) {
	if cursor == "" {
		return p, nil
	}
	body, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(body, &p) != nil || p.Offset < 0 {
		return place{}, badCursor()
	}
	return p, nil
}

// list answers a query: from an index where one has the order and there is no filter; of candidates where an index tells
// them; and else from the stream of all.
func list[T any](ctx context.Context, s *Service, l lister[T], q Query) (Page, error) {
	q.Count = max(0, min(q.Count, store.MaxPage-1))
	q.Start = max(1, q.Start)
	var at place
	if q.Cursor != nil {
		var err error
		if at, err = readPlace(*q.Cursor); err != nil {
			return Page{}, err
		}
	}
	page, err := l.find(ctx, s, q, at)
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

func (l lister[T]) find(ctx context.Context, s *Service, q Query, at place) (Page, error) {
	index, aligned := l.index(q.Order)
	if q.Filter == nil && aligned {
		return l.fromIndex(ctx, index, q, at)
	}
	w := newWindow(q, at)
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

func (l lister[T]) fromIndex(ctx context.Context, index string, q Query, at place) (Page, error) {
	all := store.Range{Index: index, Eq: []string{l.directoryID}}
	total, err := l.repo.Count(ctx, all)
	if err != nil {
		return Page{}, err
	}
	out := Page{Total: total, Start: q.Start}
	if q.Count == 0 {
		return out, nil
	}
	all.Desc, all.Limit = q.Order != nil && q.Order.Descending, q.Count
	if q.Cursor == nil {
		all.Offset = q.Start - 1
	} else if *q.Cursor != "" {
		if at.Index != index || at.Desc != all.Desc || at.After == "" {
			return Page{}, badCursor()
		}
		all.After = at.After
	}
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
	if q.Cursor != nil && page.More {
		out.Next = place{Index: index, Desc: all.Desc, After: page.Cursors[len(page.Cursors)-1]}.String()
	}
	return out, nil
}

// window is the part of the matches that a page shows.
type window struct {
	q     Query
	first int // how many matches are before it
	total int
	items []Object  // of the window, where matches come in order
	keys  []sortKey // of all matches, where they do not
}

type sortKey struct{ key, id string }

func newWindow(q Query, at place) *window {
	w := &window{q: q, first: q.Start - 1}
	if q.Cursor != nil {
		w.first = at.Offset
	}
	return w
}

// take notes a match that comes in order.
func (w *window) take(o Object) {
	if w.total >= w.first && len(w.items) < w.q.Count {
		w.items = append(w.items, o)
	}
	w.total++
}

func (w *window) page(items []Object) Page {
	p := Page{Items: items, Total: int64(w.total), Start: w.q.Start}
	if next := w.first + len(items); w.q.Cursor != nil && len(items) > 0 && next < w.total {
		p.Next = place{Offset: next}.String()
	}
	return p
}

// chosen are the ids of the window, of matches that are sorted now.
func (w *window) chosen() []string {
	slices.SortStableFunc(w.keys, func(a, b sortKey) int { return w.q.Order.Compare(a.key, b.key) })
	w.total = len(w.keys)
	var ids []string
	for _, k := range w.keys[min(w.first, w.total):min(w.first+w.q.Count, w.total)] {
		ids = append(ids, k.id)
	}
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
	slices.SortStableFunc(found, func(a, b Object) int {
		if o := w.q.Order; o != nil {
			return o.Compare(o.Key(a.Resource), o.Key(b.Resource))
		}
		return a.Created.Compare(b.Created)
	})
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
		w.q.Order = creation
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
		w.keys = append(w.keys, sortKey{w.q.Order.Key(o.Resource), o.ID})
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

// creation is the order of lists that nobody ordered.
var creation = func() *scim.Order {
	o, err := scim.ParseOrder(scim.User, "meta.created", false)
	if err != nil {
		panic(err)
	}
	return o
}()

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

// mentions reports whether a filter asks of an attribute.
func mentions(e scim.Expr, attribute string) bool {
	switch e := e.(type) {
	case *scim.And:
		return mentions(e.Left, attribute) || mentions(e.Right, attribute)
	case *scim.Or:
		return mentions(e.Left, attribute) || mentions(e.Right, attribute)
	case *scim.Not:
		return mentions(e.Of, attribute)
	case *scim.Comparison:
		return e.Path.URN == "" && e.Path.Attribute == attribute
	case *scim.ValuePath:
		return e.Path.URN == "" && e.Path.Attribute == attribute
	}
	return false
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
			if !mentions(f.Root, "groups") {
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

// addMembers adds the members of a group of which a filter asks: the one that it names, or all, where these are few.
func (s *Service) addMembers(ctx context.Context, d Directory, f *scim.Filter, o *Object) error {
	if !mentions(f.Root, "members") {
		return nil
	}
	for _, path := range []string{"members.value", "members"} {
		value, ok := f.Equal(path)
		if !ok {
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
