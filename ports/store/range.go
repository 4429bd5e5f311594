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
	if r.After != "" {
		keys, _, err := ParseCursor(c.Name, x, r.After)
		if err != nil {
			return r, false, err
		}
		if !slices.Equal(keys[:len(r.Eq)], r.Eq) {
			return r, false, fmt.Errorf("%w: a cursor of another range", ErrInvalid)
		}
	}
	foldPrefix(&r)
	return r, r.To != "" && r.From >= r.To, nil
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
