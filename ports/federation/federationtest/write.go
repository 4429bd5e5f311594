package federationtest

import (
	"strings"
	"time"
)

// writer writes XML in canonical form: attributes must come in order, and empty elements get an end tag.
type writer struct{ strings.Builder }

func (w *writer) raw(s string) { w.WriteString(s) }

func (w *writer) attr(name, value string) {
	w.raw(" " + name + `="` + attrEscaper.Replace(value) + `"`)
}

// optional writes the attribute unless it is empty.
func (w *writer) optional(name, value string) {
	if value != "" {
		w.attr(name, value)
	}
}

func (w *writer) text(name, content string) {
	w.raw("<" + name + ">" + textEscaper.Replace(content) + "</" + name + ">")
}

// The escapes of Canonical XML 1.0 §2.3.
var (
	textEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
	attrEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
)

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
