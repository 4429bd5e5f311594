package federation_test

import (
	"strings"
	"testing"

	"github.com/portico-sso/portico/ports/federation"
)

func TestReadOAuthError(t *testing.T) {
	for _, c := range []struct{ code, description, wantCode, want string }{
		{"access_denied", "Nobody signs in today.", "access_denied", "Nobody signs in today."},
		{"", "x", "server_error", "x"},
		{"no such\ncode", "x", "server_error", "x"},
		{"<script>", "x", "server_error", "x"},
		{strings.Repeat("a", 65), "x", "server_error", "x"},
		{"a.b-C_9", "Zugriff verweigert für Müller\r\n\x00\u202e\xff", "a.b-C_9", "Zugriff verweigert für Müller"},
		{"a", strings.Repeat("ä", 300), "a", strings.Repeat("ä", 256)},
	} {
		got := federation.ReadOAuthError(c.code, c.description)
		if got.Code != c.wantCode || got.Description != c.want {
			t.Errorf("%q %q: got %+v", c.code, c.description, got)
		}
	}
}
