// Package transfer moves documents out of a database, into another, and between engines.
//
// An export is lines of JSON (RFC 8259), each ended by a newline:
//
//	{"portico":"export","format":1,"migration":4}
//	{"c":"projects","id":"0197…","k":{"slug":"crm"},"b":{…}}
//	{"c":"codes","id":"…","e":1790000000000,"x":"aGVsbG8="}
//	{"end":{"projects":{"count":1,"digest":"9f86…"},"codes":{…}}}
//
// The first line says the format and the number of the last migration of the database (ports/store/migrate). Then
// comes a line per document, collection by collection in the order of ids: c the collection, id the document's id, k its
// keys (those that are not empty), e its expiry in Unix milliseconds where it has one, b its body as JSON, or x in base64
// where the body is not JSON as compact as can be. Bodies of sealed collections are opened. Versions are not kept. The
// last line has each collection's count and digest; an export without it is not whole.
//
// The digest of a collection is the sum, modulo 2^256, of the SHA-256 of its documents' lines without their k and their
// newlines, in hexadecimal. It depends neither on their order nor on the release's indexes, so both sides of a move are
// held against each other by it.
package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

const format = 1

// header is the first line.
type header struct {
	Portico   string `json:"portico"`
	Format    int    `json:"format"`
	Migration int    `json:"migration"`
}

// line is a document, or the end.
type line struct {
	Collection string             `json:"c,omitempty"`
	ID         string             `json:"id,omitempty"`
	Keys       map[string]string  `json:"k,omitempty"`
	Expires    int64              `json:"e,omitempty"`
	Body       json.RawMessage    `json:"b,omitempty"`
	Data       []byte             `json:"x,omitempty"`
	End        map[string]Content `json:"end,omitzero"`
}

// Content is what a collection holds.
type Content struct {
	Count  int64  `json:"count"`
	Digest string `json:"digest"`
}

// content adds up.
type content struct {
	count int64
	sum   big.Int
}

var modulus = new(big.Int).Lsh(big.NewInt(1), 256)

// add counts a document in.
func (c *content) add(l line) error {
	l.Keys = nil
	text, err := encode(l)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(text)
	c.count++
	c.sum.Add(&c.sum, new(big.Int).SetBytes(hash[:]))
	c.sum.Mod(&c.sum, modulus)
	return nil
}

func (c *content) Content() Content {
	var digest [32]byte
	return Content{c.count, hex.EncodeToString(c.sum.FillBytes(digest[:]))}
}

// contents are those of all collections.
type contents map[string]*content

func (c contents) of(collection string) *content {
	if c[collection] == nil {
		c[collection] = &content{}
	}
	return c[collection]
}

func (c contents) Contents() map[string]Content {
	all := make(map[string]Content, len(c))
	for name, one := range c {
		all[name] = one.Content()
	}
	return all
}

// encode makes a line without its newline. Equal values make equal lines.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// lineOf is the line of a document.
func lineOf(collection string, d store.Doc) line {
	l := line{Collection: collection, ID: d.ID, Keys: map[string]string{}}
	for f, v := range d.Keys {
		if v != "" {
			l.Keys[f] = v
		}
	}
	if !d.ExpiresAt.IsZero() {
		l.Expires = d.ExpiresAt.UnixMilli()
	}
	if compact(d.Body) {
		l.Body = d.Body
	} else {
		l.Data = d.Body
	}
	return l
}

// compact reports whether a body stays what it is when it is written as JSON.
func compact(body []byte) bool {
	if len(body) == 0 {
		return false
	}
	again, err := encode(json.RawMessage(body))
	return err == nil && bytes.Equal(again, body)
}

// doc is the document of a line.
func (l line) doc() store.Doc {
	d := store.Doc{ID: l.ID, Keys: l.Keys, Body: l.Body}
	if l.Body == nil {
		d.Body = l.Data
	}
	if l.Expires != 0 {
		d.ExpiresAt = time.UnixMilli(l.Expires).UTC()
	}
	return d
}

func decode(text []byte) (line, error) {
	var l line
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, err
	}
	if (l.End == nil) == (l.Collection == "") {
		return l, fmt.Errorf("neither a document nor the end")
	}
	return l, nil
}
