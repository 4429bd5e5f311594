package store

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

// A cursor is the base64url text of a mark of its collection and index (4 bytes), then the index's values of the
// document and its id, joined with NUL. It names a place, not a document, so it survives that document's end.

var cursorText = base64.RawURLEncoding.Strict()

var maxCursor = cursorText.EncodedLen(4 + (MaxIndexFields+1)*(MaxKeyBytes+1))

func formatCursor(collection string, x Index, d Doc) string {
	joined, _ := x.Key(d.Keys)
	b := make([]byte, 0, 4+len(joined)+1+len(d.ID))
	b = binary.BigEndian.AppendUint32(b, cursorMark(collection, x.Name))
	if len(x.Fields) > 0 {
		b = append(b, joined...)
		b = append(b, 0)
	}
	return cursorText.EncodeToString(append(b, d.ID...))
}

// ParseCursor reads Range.After for an adapter: the values of the index's fields and the id of the place.
// Anything that Store.Cursor did not make for this index is ErrInvalid.
func ParseCursor(collection string, x Index, after string) (keys []string, id string, err error) {
	if len(after) > maxCursor || strings.ContainsAny(after, "\r\n") { // which base64 would skip
		return nil, "", fmt.Errorf("%w: not a cursor", ErrInvalid)
	}
	b, err := cursorText.DecodeString(after)
	if err != nil || len(b) < 4 || binary.BigEndian.Uint32(b) != cursorMark(collection, x.Name) {
		return nil, "", fmt.Errorf("%w: not a cursor of this index", ErrInvalid)
	}
	parts := strings.Split(string(b[4:]), "\x00")
	n := len(x.Fields)
	if len(parts) != n+1 || checkID(parts[n]) != nil {
		return nil, "", fmt.Errorf("%w: broken cursor", ErrInvalid)
	}
	for _, p := range parts[:n] {
		if checkKey(p) != nil {
			return nil, "", fmt.Errorf("%w: broken cursor", ErrInvalid)
		}
	}
	return parts[:n:n], parts[n], nil
}

func cursorMark(collection, index string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(collection + "\x00" + index))
	return h.Sum32()
}

func checkID(id string) error {
	if id == "" {
		return fmt.Errorf("%w: empty id", ErrInvalid)
	}
	return checkKey(id)
}

func checkKey(k string) error {
	switch {
	case len(k) > MaxKeyBytes:
		return fmt.Errorf("%w: a key of %d bytes, more than %d", ErrInvalid, len(k), MaxKeyBytes)
	case !utf8.ValidString(k):
		return fmt.Errorf("%w: a key is not UTF-8", ErrInvalid)
	case strings.IndexByte(k, 0) >= 0:
		return fmt.Errorf("%w: a key holds NUL", ErrInvalid)
	}
	return nil
}
