package transfer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine is the longest line that is read: a body of store.MaxCommitBytes in base64, and its keys.
const maxLine = 8 << 20

// Export is a way out of a database, as far as it has come.
type Export struct {
	Source    Source
	Migration int // number of the last migration of this release

	begun bool // the first line is written
	at    place
	seen  contents
}

// Resume reads what an earlier export of the same database wrote before it ended early, and says how many bytes of it
// are whole lines: cut the file there, and write on.
func (e *Export) Resume(r io.Reader) (whole int64, err error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	e.seen = contents{}
	for {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		if err := e.resumeLine(bytes.TrimSuffix(text, []byte("\n")), whole == 0); err != nil {
			return whole, err
		}
		whole += int64(len(text))
	}
}

func (e *Export) resumeLine(text []byte, first bool) error {
	if first {
		_, err := readHeader(text, e.Migration)
		e.begun = err == nil
		return err
	}
	l, err := decode(text)
	if err != nil {
		return fmt.Errorf("a line is not of an export: %w", err)
	}
	if l.End != nil {
		return errors.New("it is whole already")
	}
	e.at = place{l.Collection, l.ID}
	return e.seen.of(l.Collection).add(l)
}

// Write writes the export from where it stands to its end.
func (e *Export) Write(ctx context.Context, w io.Writer) (map[string]Content, error) {
	out := bufio.NewWriterSize(w, 256<<10)
	put := func(text []byte) error {
		_, err := out.Write(append(text, '\n'))
		return err
	}
	if e.seen == nil {
		e.seen = contents{}
	}
	if !e.begun {
		if err := putJSON(put, header{"export", format, e.Migration}); err != nil {
			return nil, err
		}
	}
	err := e.Source.each(ctx, e.at, func(l line) error {
		if err := e.seen.of(l.Collection).add(l); err != nil {
			return err
		}
		return putJSON(put, l)
	})
	if err != nil {
		return nil, errors.Join(err, out.Flush())
	}
	all := e.seen.Contents()
	if err := putJSON(put, line{End: all}); err != nil {
		return nil, err
	}
	return all, out.Flush()
}

func putJSON(put func([]byte) error, v any) error {
	text, err := encode(v)
	if err != nil {
		return err
	}
	return put(text)
}

// readHeader reads the first line and refuses what this release cannot take in.
func readHeader(text []byte, migration int) (header, error) {
	var h header
	if err := json.Unmarshal(text, &h); err != nil || h.Portico != "export" {
		return h, errors.New("this is not an export of Portico")
	}
	if h.Format != format {
		return h, fmt.Errorf("the export has format %d, and this release reads format %d", h.Format, format)
	}
	if h.Migration != migration {
		return h, fmt.Errorf("the export was made by a release with migration %d, and this one has %d: import it with a release that has the same, then run portico migrate", h.Migration, migration)
	}
	return h, nil
}
