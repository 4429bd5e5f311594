package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/portico-sso/portico/core/secret"
)

const planted = "planted-value"

type holder struct {
	Name string
	One  secret.Secret
	Many secret.List
	ByID map[string]secret.Secret
	At   *secret.Secret
}

func TestNothingShowsASecret(t *testing.T) {
	one := secret.Secret(planted)
	h := holder{"shown", one, secret.List{planted, planted}, map[string]secret.Secret{"id": one}, &one}
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "%T"} {
		fmt.Fprintf(&shown, verb+verb+verb+"\n", h, h.One, h.Many)
	}
	text, logged := slog.NewTextHandler(&shown, nil), slog.NewJSONHandler(&shown, nil)
	for _, handler := range []slog.Handler{text, logged} {
		slog.New(handler).Info("shown", "holder", h, "one", h.One, "many", h.Many, "pointer", &h)
	}
	encoded, err := json.Marshal(map[string]any{"h": h, "one": one, "many": &h.Many})
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(encoded)
	fmt.Fprint(&shown, fmt.Errorf("wrapped: %v", one))
	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%X", planted), planted[:3] + `"`} {
		if strings.Contains(shown.String(), form) {
			t.Errorf("%q is shown:\n%s", form, shown.String())
		}
	}
	if !strings.Contains(shown.String(), secret.Redacted) || !strings.Contains(shown.String(), "shown") {
		t.Errorf("the rest is not shown:\n%s", shown.String())
	}
}

func TestValueAndEmptiness(t *testing.T) {
	if got := string(secret.Secret(planted)); got != planted {
		t.Errorf("the value is %q", got)
	}
	if got := fmt.Sprint(secret.Secret("")); got != "" {
		t.Errorf("an unset secret shows as %q", got)
	}
	if got := fmt.Sprint(secret.List{planted, ""}); got != "["+secret.Redacted+" ]" {
		t.Errorf("a list shows as %q", got)
	}
}
