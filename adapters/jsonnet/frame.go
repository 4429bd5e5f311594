package jsonnet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/portico-sso/portico/ports/mapping"
)

// A frame is a number of bytes, big endian in four, and so many bytes of JSON. Both ends write a question or an answer whole.
const (
	maxQuestion = 6*(mapping.MaxSnippet+mapping.MaxInput) + 4096 // a character may take six in JSON
	maxAnswer   = mapping.MaxOutput + 8*mapping.MaxMessage
)

// question is what a worker is asked.
type question struct {
	Snippet string
	Vars    map[string]string `json:",omitempty"` // JSON texts
	Check   bool              `json:",omitempty"` // read it alone
}

// answer is what it answers. The first one of a worker has Hello alone.
type answer struct {
	Hello string          `json:",omitempty"`
	Value json.RawMessage `json:",omitempty"`
	Error *mapping.Error  `json:",omitempty"`
	Last  bool            `json:",omitempty"` // it answers no more
}

func writeFrame(w io.Writer, v any) error {
	b := bytes.NewBuffer(make([]byte, 4, 512))
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	frame := b.Bytes()
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	_, err := w.Write(frame)
	return err
}

func readFrame(r io.Reader, most int, v any) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if int64(n) > int64(most) {
		return fmt.Errorf("a frame of %d bytes, more than %d", n, most)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}
