package saml

import (
	"strconv"
	"time"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
)

// xmlWriter writes XML that is canonical already, so that its bytes can be signed as they are: no empty-element tags,
// attributes in order, namespaces declared where they are first used.
type xmlWriter struct{ out []byte }

func (w *xmlWriter) raw(s string) { w.out = append(w.out, s...) }

func (w *xmlWriter) attr(name, value string) {
	w.raw(" " + name + `="`)
	w.out = xmltree.AppendAttr(w.out, value)
	w.raw(`"`)
}

func (w *xmlWriter) element(name, content string) {
	w.raw("<" + name + ">")
	w.out = xmltree.AppendText(w.out, content)
	w.raw("</" + name + ">")
}

func (w *xmlWriter) acs(i int, location string) {
	w.raw(`<md:AssertionConsumerService`)
	w.attr("Binding", bindingPost)
	w.attr("Location", location)
	w.attr("index", strconv.Itoa(i+1))
	if i == 0 {
		w.attr("isDefault", "true")
	}
	w.raw(`></md:AssertionConsumerService>`)
}

func boolean(b bool) string { return strconv.FormatBool(b) }

func formatInstant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
