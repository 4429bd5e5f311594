// Command with runs a command with real database servers, named by TEST_POSTGRES_URL and so on (see package engines), and
// stops them when it ends, however it ends:
//
//	go run ./internal/engines/with -- go test ./...
//
// Without a command it prints the variables and keeps the servers until it is interrupted. Progress goes to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/portico-sso/portico/internal/engines"
)

func main() {
	install := flag.Bool("install", false, "only install what is missing (on Debian, as root)")
	while := flag.String("while", "", "a shell `command` to run while the servers are installed and started; if it fails, that is all")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: with [-install] [-while command] [-- command argument …]")
		flag.PrintDefaults()
	}
	flag.Parse()
	begun := time.Now()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx = endWithParent(ctx)
	var err error
	if *install {
		err = engines.Install(ctx, say, engines.All)
	} else {
		err = with(ctx, *while, flag.Args())
	}
	stop()
	say("in all %.0f s", time.Since(begun).Seconds())
	if err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			say("%v", err)
		}
		os.Exit(exitCode(exit))
	}
}

func exitCode(exit *exec.ExitError) int {
	if exit == nil || exit.ExitCode() < 0 { // a signal
		return 1
	}
	return exit.ExitCode()
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "engines: "+format+"\n", args...) }

// with starts the servers, runs the commands, and stops the servers.
func with(ctx context.Context, while string, command []string) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	meanwhile := make(chan error, 1)
	go func() {
		err := shell(ctx, while)
		if err != nil {
			cancel(err)
		}
		meanwhile <- err
	}()
	shared, err := engines.Share(ctx, say)
	defer func() { err = errors.Join(err, shared.Stop()) }()
	if failed := <-meanwhile; failed != nil {
		return failed
	}
	if err != nil {
		return context.Cause(ctx)
	}
	if len(command) == 0 {
		return wait(ctx, shared.Variables)
	}
	return run(ctx, shared.Variables, command[0], command[1:]...)
}

func shell(ctx context.Context, command string) error {
	if command == "" {
		return nil
	}
	return run(ctx, nil, "sh", "-c", command)
}

// wait prints the variables for a shell and waits for a signal.
func wait(ctx context.Context, variables []string) error {
	for _, v := range variables {
		fmt.Printf("export '%s'\n", v)
	}
	say("the servers run until this is interrupted")
	<-ctx.Done()
	return nil
}

// run runs a command to its end, or asks it and all that it started to end when ctx does. Nothing of it stays.
func run(ctx context.Context, variables []string, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Env = append(os.Environ(), variables...)
	end := group(c)
	defer end()
	return c.Run()
}

// endWithParent ends the context also when the process that started this one is gone: `go run` and shells die of
// signals without passing them on.
func endWithParent(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		for os.Getppid() == parent {
			time.Sleep(200 * time.Millisecond)
		}
		cancel()
	}()
	return ctx
}
