package engines

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// How long a server may take, on a machine that does much else.
const (
	startTimeout = 3 * time.Minute
	stopTimeout  = 20 * time.Second
)

// Options say how a server is started.
type Options struct {
	// Fast lets the server acknowledge what is not on disk. Without it, what is acknowledged survives a kill: fsync in
	// PostgreSQL, innodb_flush_log_at_trx_commit=1 in MariaDB and MySQL, appendfsync always in Redis and Valkey.
	Fast bool
	// Args are further arguments of the server program, such as "-c", "max_connections=20" or "--maxmemory", "10mb".
	Args []string
}

// Server is a running database server of a test's own.
type Server struct {
	Engine Engine
	Addr   string // host:port
	URL    string // of an empty database, as Portico and the adapters take it

	port    string
	kind    kind
	options Options
	program program
	home    *home
	extra   []string // arguments of its role in a cluster

	mu      sync.Mutex
	process *process // nil when stopped
}

// Start runs a server that ends with the test. Without the engine on this machine it skips the test, or fails it where
// PORTICO_TEST_REQUIRE=1. What it prints is logged if the test fails.
func Start(t testing.TB, e Engine, o Options) *Server {
	t.Helper()
	p, err := find(e)
	if err != nil {
		missing(t, e, err.Error())
	}
	s, err := start(t.Context(), e, p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.finish(t) })
	return s
}

func (s *Server) finish(t testing.TB) {
	if t.Failed() {
		t.Logf("the end of what %s at %s printed:\n%s", s.Engine, s.Addr, s.home.log)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// start makes the data folder and starts the server on it.
func start(ctx context.Context, e Engine, p program, o Options) (*Server, error) {
	s, err := prepare(ctx, e, p, o, true)
	if err != nil {
		return nil, err
	}
	if err := s.Restart(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// prepare makes the data folder, with data unless the server gets it from another, and chooses the port.
func prepare(ctx context.Context, e Engine, p program, o Options, data bool) (_ *Server, err error) {
	s := &Server{Engine: e, kind: kinds[e], options: o, program: p}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	s.Addr = net.JoinHostPort(loopback, s.port)
	s.URL = s.kind.url(s.Addr)
	if s.home, err = newHome(p.root); err != nil {
		return nil, err
	}
	if !data {
		return s, s.home.makeData()
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.kind.create(ctx, s); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: make a data folder: %w", e, err), s.home.close())
	}
	return s, nil
}

// Restart starts the server again on the same data and port, and returns when it answers. A server that still runs is
// stopped first.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	if err := s.launch(); err != nil {
		return err
	}
	return s.ready()
}

// launch starts the process without waiting for an answer.
func (s *Server) launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	command, err := s.program.command(context.Background(), s.program.server, append(s.kind.arguments(s), s.extra...)...)
	if err != nil {
		return err
	}
	if s.process, err = s.home.run(command); err != nil {
		return fmt.Errorf("%s: %w", s.Engine, err)
	}
	return nil
}

// ready waits until the server answers a client.
func (s *Server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p := s.running()
	for {
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s at %s ended at its start:\n%s", s.Engine, s.Addr, s.home.log)
		case <-ctx.Done():
			return fmt.Errorf("%s at %s does not answer: %w\n%s", s.Engine, s.Addr, err, s.home.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// answers asks over TCP first: some clients' libraries print every refusal.
func (s *Server) answers(ctx context.Context) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	_ = c.Close()
	return s.kind.ping(ctx, s.URL)
}

func (s *Server) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Kill ends the server with SIGKILL, as a crash would, and returns when it is gone.
func (s *Server) Kill() error { return s.end(kill) }

// Stop ends the server in order: clients are disconnected, data is written. It is killed if that takes too long.
func (s *Server) Stop() error { return s.end(s.kind.stop) }

func (s *Server) end(signal func(*os.Process) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := s.process.end(signal)
	s.process = nil
	return err
}

// Pause stops the server from running, as a machine that hangs would; its connections stay open. Resume ends that.
func (s *Server) Pause() error { return s.signal(pause) }

// Resume lets a paused server go on.
func (s *Server) Resume() error { return s.signal(resume) }

func (s *Server) signal(send func(*os.Process) error) error {
	p := s.running()
	if p == nil {
		return fmt.Errorf("%s at %s does not run", s.Engine, s.Addr)
	}
	return send(p.Process)
}

// close ends the server and removes its data.
func (s *Server) close() error { return errors.Join(s.end(s.kind.discard), s.home.close()) }

// process is a started program, waited for.
type process struct {
	*os.Process
	done chan struct{} // closed when it has ended
}

// end signals a process and waits for its end; past the time it is killed.
func (p *process) end(signal func(*os.Process) error) error {
	if err := signal(p.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		select {
		case <-p.done:
		default:
			return err
		}
	}
	_ = resume(p.Process) // a paused one would not hear it
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = kill(p.Process)
		<-p.done
	}
	return nil
}

// run starts a command whose output goes to the home's log. It is done when all that it started has closed that output: a
// PostgreSQL whose first process was killed lives on in the others for a moment, and cannot start again meanwhile.
func (h *home) run(c *exec.Cmd) (*process, error) {
	c.Stdout, c.Stderr = h.log, h.log
	if err := startProcess(c); err != nil {
		return nil, err
	}
	p := &process{Process: c.Process, done: make(chan struct{})}
	go func() {
		_ = c.Wait() // how it ended does not matter: Kill is one of the ways
		close(p.done)
	}()
	return p, nil
}

const loopback = "127.0.0.1"

// Ports of servers are below those that systems give to outgoing connections (32768 and above, or 49152), one of which may have
// taken a server's by the time that it is started again.
const firstPort, lastPort = 12_000, 32_000

func freePort() (string, error) {
	for range 100 {
		port := strconv.Itoa(firstPort + rand.IntN(lastPort-firstPort))
		if l, err := net.Listen("tcp", net.JoinHostPort(loopback, port)); err == nil { //nolint:noctx // it is closed at once
			return port, l.Close()
		}
	}
	return "", errors.New("engines: no port is free")
}
