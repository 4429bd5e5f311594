// Command embed serves Portico inside another Go program: under /sso of a server with routes of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/portico-sso/portico/app"
)

// prefix is where Portico is mounted. The public URL ends in it, so that Portico's own links lead there.
const prefix = "/sso"

func main() {
	if err := run("localhost:8080", "sqlite:portico.db"); err != nil {
		log.Fatal(err)
	}
}

// run serves until the program is interrupted.
func run(address, database string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	portico, err := app.New(ctx, app.Config{PublicURL: "http://" + address + prefix, DatabaseURL: database})
	if err != nil {
		return err
	}
	if portico.FirstAdminKey != "" {
		fmt.Println("The admin key, shown only now:", portico.FirstAdminKey)
	}
	server := &http.Server{Addr: address, Handler: routes(portico), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	// First the requests in flight finish, then Portico closes its database.
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(closing), portico.Close(closing))
}

// routes is the program's own mux with Portico beside its own routes.
func routes(portico *app.App) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Hello from the program around Portico")
	})
	mux.Handle(prefix+"/", http.StripPrefix(prefix, portico.Handler))
	return mux
}
