package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// Version is set when a release is built.
var Version = "dev"

// Limits of the HTTP server. Bodies are limited where they are read.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 90 * time.Second // from the header's end: a slow body, the longest work (graph's 30 s), a slow reader
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 80 << 10 // long client ids and redirect URIs, and what Polis's image allows
	stopTimeout       = 20 * time.Second
)

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Serve Portico. Needs no configuration; every setting is an environment variable (PORTICO_…)."`
	Demo    demoCommand    `cmd:"" help:"Serve Portico with a test identity provider and a sample application, and print one URL to open."`
	Migrate migrateCommand `cmd:"" help:"Bring the databases of the configuration up to this release."`
	Export  exportCommand  `cmd:"" help:"Write everything in the databases of the configuration as lines of JSON."`
	Import  importCommand  `cmd:"" help:"Read an export into the databases of the configuration."`
	Copy    copyCommand    `cmd:"" help:"Copy one database to another, of any engine."`
	Keys    keysCommand    `cmd:"" help:"Make and rotate encryption keys."`
	Health  healthCommand  `cmd:"" help:"Ask the server of this environment (PORTICO_LISTEN) whether it is ready; the status tells."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// Main is the whole program. A main of your own calls it with the drivers it adds.
func Main(opts ...Option) {
	var c commands
	parser := kong.Must(&c, kong.Name("portico"), kong.UsageOnError(),
		kong.Description("Enterprise single sign-on and directory sync for companies that sell software to companies."))
	run, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	run.BindTo(ctx, (*context.Context)(nil))
	if err := run.Run(opts); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "portico:", err)
		os.Exit(1)
	}
}

type versionCommand struct{}

func (versionCommand) Run() error {
	_, err := fmt.Println(Version)
	return err
}

type serveCommand struct{}

func (serveCommand) Run(ctx context.Context, opts []Option) error {
	c, warnings, err := LoadConfig(os.Environ(), opts...)
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	for _, w := range warnings { // also beside faults: a misspelt variable may be the cause of one
		logger.Warn("setting", "variable", w.Variable, "warning", w.Message)
	}
	if err != nil {
		return err
	}
	// Listening comes first: a port that is taken must not leave keys behind.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; stop what listens there, or give another address by PORTICO_LISTEN", c.Listen, err)
	}
	a, err := New(ctx, c, append([]Option{WithLogger(logger)}, opts...)...)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	printFirstKey(os.Stdout, a.FirstAdminKey, c.PublicURL)
	logger.Info("serving", "address", listener.Addr().String(), "public_url", c.PublicURL)
	return serve(ctx, listener, a, logger)
}

// printFirstKey shows the admin key of a first start, which is kept nowhere.
func printFirstKey(w io.Writer, key, publicURL string) {
	if key != "" {
		fmt.Fprintf(w, "\n  Your admin key, shown only now:\n\n    %s\n\n  Use it as: Authorization: Bearer <key>, or in the explorer at %s/graphql\n\n", key, publicURL)
	}
}

func newServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// serve answers requests until ctx ends; then requests in flight finish, and then the store closes.
func serve(ctx context.Context, listener net.Listener, a *App, logger *slog.Logger) error {
	server := newServer(tidyWhenIdle(a.Handler, allocatedBytes, debug.FreeOSMemory), logger)
	server.RegisterOnShutdown(a.EndStreams)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		logger.Info("stopping")
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if shutdown := server.Shutdown(stop); shutdown != nil {
		err = errors.Join(err, shutdown, server.Close())
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, a.Close(stop))
}
