package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/portico-sso/portico/app"
)

// Portico answers under /sso, and the program's own routes answer beside it.
func Example() {
	dir, err := os.MkdirTemp("", "embed-")
	check(err)
	defer os.RemoveAll(dir)

	server := httptest.NewUnstartedServer(nil)
	ctx := context.Background()
	portico, err := app.New(ctx, app.Config{
		PublicURL:   "http://" + server.Listener.Addr().String() + prefix,
		DatabaseURL: "sqlite:" + filepath.Join(dir, "portico.db"),
	}, app.WithLogger(slog.New(slog.DiscardHandler)))
	check(err)
	server.Config.Handler = routes(portico)
	server.Start()

	fmt.Print(string(get(server.URL + "/hello")))
	var discovery struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	check(json.Unmarshal(get(server.URL+prefix+"/.well-known/openid-configuration"), &discovery))
	fmt.Println("the issuer is where Portico is mounted:", discovery.Issuer == server.URL+prefix)
	var keys struct{ Keys []any }
	check(json.Unmarshal(get(discovery.Keys), &keys))
	fmt.Println("its links lead there:", len(keys.Keys) > 0)

	server.Close()
	check(portico.Close(ctx))
	// Output:
	// Hello from the program around Portico
	// the issuer is where Portico is mounted: true
	// its links lead there: true
}

func get(url string) []byte {
	response, err := http.Get(url)
	check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	return body
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
