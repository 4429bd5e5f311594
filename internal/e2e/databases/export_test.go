package databases

import (
	"encoding/json"
	"strings"
	"testing"
)

// document is one line of an export.
type document struct {
	id      string
	expires int64
	body    json.RawMessage
}

// export is everything in the databases of the settings, by collection: what a witness sees.
func export(t *testing.T, env []string) map[string][]document {
	t.Helper()
	text, _ := run(t, env, "export")
	all := map[string][]document{}
	for line := range strings.Lines(text) {
		var d struct {
			Collection string          `json:"c"`
			ID         string          `json:"id"`
			Expires    int64           `json:"e"`
			Body       json.RawMessage `json:"b"`
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if d.Collection != "" {
			all[d.Collection] = append(all[d.Collection], document{d.ID, d.Expires, d.Body})
		}
	}
	return all
}

// read decodes a document's body.
func (d document) read(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(d.body, into); err != nil {
		t.Fatalf("%v: %s", err, d.body)
	}
}
