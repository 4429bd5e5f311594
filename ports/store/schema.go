package store

import (
	"fmt"
	"slices"
	"strings"
)

// maxName is short enough for every engine's identifiers, two names and a suffix in one (PostgreSQL: 63 bytes).
const maxName = 30

// Validate reports the first thing that is wrong with the schema.
func (s Schema) Validate() error {
	seen := map[string]bool{}
	for _, c := range s {
		if !validName(c.Name) {
			return fmt.Errorf("%w: collection name %q", ErrInvalid, c.Name)
		}
		if seen[c.Name] {
			return fmt.Errorf("%w: collection %s is declared twice", ErrInvalid, c.Name)
		}
		seen[c.Name] = true
		if err := c.validate(); err != nil {
			return fmt.Errorf("%w in collection %s", err, c.Name)
		}
	}
	return nil
}

func (c Collection) validate() error {
	seen := map[string]bool{}
	for _, x := range c.Indexes {
		if !validName(x.Name) {
			return fmt.Errorf("%w: index name %q", ErrInvalid, x.Name)
		}
		if seen[x.Name] {
			return fmt.Errorf("%w: index %s is declared twice", ErrInvalid, x.Name)
		}
		seen[x.Name] = true
		if len(x.Fields) == 0 || len(x.Fields) > MaxIndexFields {
			return fmt.Errorf("%w: index %s has %d fields, not 1 to %d", ErrInvalid, x.Name, len(x.Fields), MaxIndexFields)
		}
		for i, f := range x.Fields {
			if !validName(f) {
				return fmt.Errorf("%w: field name %q of index %s", ErrInvalid, f, x.Name)
			}
			if slices.Contains(x.Fields[:i], f) {
				return fmt.Errorf("%w: index %s names field %s twice", ErrInvalid, x.Name, f)
			}
		}
	}
	return nil
}

func validName(s string) bool {
	if s == "" || len(s) > maxName || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// Find returns the collection of this name.
func (s Schema) Find(name string) (Collection, bool) {
	i := slices.IndexFunc(s, func(c Collection) bool { return c.Name == name })
	if i < 0 {
		return Collection{}, false
	}
	return s[i], true
}

// Find returns the index of this name; "" is the order of ids, an index without fields.
func (c Collection) Find(name string) (Index, bool) {
	if name == "" {
		return Index{}, true
	}
	i := slices.IndexFunc(c.Indexes, func(x Index) bool { return x.Name == name })
	if i < 0 {
		return Index{}, false
	}
	return c.Indexes[i], true
}

// Fields returns the fields of all indexes, each once, in the order of their first mention.
func (c Collection) Fields() []string {
	var fields []string
	for _, x := range c.Indexes {
		for _, f := range x.Fields {
			if !slices.Contains(fields, f) {
				fields = append(fields, f)
			}
		}
	}
	return fields
}

// Key joins the index's values of keys with NUL, which no key holds and which sorts before all they hold: two
// joined keys are equal, and ordered, as the lists of their values are. It is not held to uniqueness when all of
// the values are empty.
func (x Index) Key(keys map[string]string) (joined string, held bool) {
	if len(x.Fields) == 1 {
		v := keys[x.Fields[0]]
		return v, v != ""
	}
	size := len(x.Fields)
	for _, f := range x.Fields {
		size += len(keys[f])
	}
	var b strings.Builder
	b.Grow(size)
	for i, f := range x.Fields {
		if i > 0 {
			b.WriteByte(0)
		}
		b.WriteString(keys[f])
		held = held || keys[f] != ""
	}
	return b.String(), held
}
