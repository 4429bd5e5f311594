package app

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/portico-sso/portico/ports/store"
)

// progress tells of long work: as a bar on a terminal, as plain lines elsewhere, or to the log.
type progress struct {
	out    io.Writer
	bar    bool
	logger *slog.Logger // where set, out is not used

	step string
	at   time.Time // of the last report
}

const (
	barWidth   = 30
	barEvery   = 100 * time.Millisecond
	linesEvery = 5 * time.Second
)

func newProgress(f *os.File) *progress { return &progress{out: f, bar: isatty.IsTerminal(f.Fd())} }

func (p *progress) report(s store.Progress) {
	every := linesEvery
	if p.bar {
		every = barEvery
	}
	if s.Step == p.step && time.Since(p.at) < every && (s.Total == 0 || s.Done < s.Total) {
		return
	}
	if s.Step != p.step {
		p.end()
	}
	p.step, p.at = s.Step, time.Now()
	switch {
	case p.logger != nil:
		p.logger.Info("working on the database", "step", s.Step, "done", s.Done, "total", s.Total)
	case p.bar:
		fmt.Fprintf(p.out, "\r\x1b[K%s", p.line(s))
	default:
		fmt.Fprintln(p.out, p.line(s))
	}
}

func (p *progress) line(s store.Progress) string {
	switch {
	case s.Total > 0 && p.bar:
		full := int(barWidth * min(s.Done, s.Total) / s.Total)
		return fmt.Sprintf("%s [%s%s] %d of %d", s.Step, strings.Repeat("#", full), strings.Repeat(" ", barWidth-full), s.Done, s.Total)
	case s.Total > 0:
		return fmt.Sprintf("%s: %d of %d", s.Step, s.Done, s.Total)
	case s.Done > 0:
		return fmt.Sprintf("%s: %d", s.Step, s.Done)
	}
	return s.Step
}

// end closes the line of a bar.
func (p *progress) end() {
	if p.bar && p.step != "" {
		fmt.Fprintln(p.out)
	}
	p.step = ""
}
