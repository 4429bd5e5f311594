package store

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// resolve checks a range and brings it to the form backends get: Prefix folded into From and To, Limit set.
// empty says that the bounds exclude everything.
func (c *collection) resolve(r Range) (out Range, empty bool, err error) {
	x, ok := c.index(r.Index)
	if !ok {
		return r, false, fmt.Errorf("%w: collection %s has no index %q", ErrInvalid, c.Name, r.Index)
	}
	if len(r.Eq) > len(x.Fields) {
		return r, false, fmt.Errorf("%w: %d values for the %d fields of index %q", ErrInvalid, len(r.Eq), len(x.Fields), r.Index)
	}
	for _, k := range r.Eq {
		if err := checkKey(k); err != nil {
			return r, false, err
		}
	}
	for _, k := range [...]string{r.Prefix, r.From, r.To} {
		if err := checkKey(k); err != nil {
			return r, false, err
		}
	}
	if r.Offset < 0 || r.Limit < 0 || r.Limit > MaxPage {
		return r, false, fmt.Errorf("%w: offset %d, limit %d", ErrInvalid, r.Offset, r.Limit)
	}
	if r.Limit == 0 {
		r.Limit = MaxPage
	}
	foldPrefix(&r)
	if err := c.foldCursor(x, &r); err != nil {
		return r, false, err
	}
	return r, r.To != "" && r.From >= r.To, nil
}

// foldCursor leaves only the stricter one of the cursor and the bound on the side where the range begins: engines
// take one of two bounds of one side to seek, and the other would have them walk there.
func (c *collection) foldCursor(x Index, r *Range) error {
	if r.After == "" {
		return nil
	}
	keys, id, err := ParseCursor(c.Name, x, r.After)
	if err != nil {
		return err
	}
	place := append(keys, id)
	if !slices.Equal(place[:len(r.Eq)], r.Eq) {
		return fmt.Errorf("%w: a cursor of another range", ErrInvalid)
	}
	next := place[len(r.Eq)]
	switch {
	case !r.Desc && next >= r.From:
		if r.To != "" && next >= r.To { // behind the end; the bounds say that it is empty
			r.From = r.To
		} else {
			r.From = ""
		}
	case r.Desc && (r.To == "" || next < r.To):
		r.To = ""
	default:
		r.After = ""
	}
	return nil
}

// foldPrefix says a prefix as bounds, so that no backend knows prefixes.
func foldPrefix(r *Range) {
	if r.Prefix == "" {
		return
	}
	r.From = max(r.From, r.Prefix)
	if end := prefixEnd(r.Prefix); end != "" && (r.To == "" || end < r.To) {
		r.To = end
	}
	r.Prefix = ""
}

// prefixEnd is the least text above all that begin with p; "" when there is none. It steps by code point, whose
// order is the byte order of UTF-8, so that the bound is UTF-8 as well (PostgreSQL takes no other text).
func prefixEnd(p string) string {
	for p != "" {
		r, size := utf8.DecodeLastRuneInString(p)
		p = p[:len(p)-size]
		switch {
		case r == utf8.MaxRune:
			continue
		case r == 0xD7FF: // the surrogates are no code points of UTF-8
			return p + "\uE000"
		}
		return p + string(r+1)
	}
	return ""
}
