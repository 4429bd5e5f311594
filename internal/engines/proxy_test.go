package engines

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echo is a server that answers each line with itself and keeps what it got.
type echo struct {
	addr string
	mu   sync.Mutex
	got  []string
}

func newEcho(t *testing.T) *echo {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	e := &echo{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go e.serve(c)
		}
	}()
	return e
}

func (e *echo) serve(c net.Conn) {
	defer c.Close()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		e.mu.Lock()
		e.got = append(e.got, lines.Text())
		e.mu.Unlock()
		io.WriteString(c, lines.Text()+"\n")
	}
}

func (e *echo) lines() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.got, " ")
}

// client is a connection through a proxy that asks by line.
type client struct {
	*net.TCPConn
	r *bufio.Reader
}

func dial(t *testing.T, p *Proxy) *client {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{c.(*net.TCPConn), bufio.NewReader(c)}
}

func (c *client) ask(line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	answer, err := c.r.ReadString('\n')
	return strings.TrimSpace(answer), err
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

func TestProxyFates(t *testing.T) {
	isTimeout := func(err error) bool {
		var timeout net.Error
		return errors.As(err, &timeout) && timeout.Timeout()
	}
	for name, c := range map[string]struct {
		fate    Fate
		arrives bool
		fails   func(error) bool
	}{
		"pass":       {Pass, true, func(err error) bool { return err == nil }},
		"cut":        {Cut, false, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
		"cut answer": {CutAnswer, true, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
		"half close": {HalfClose, true, func(err error) bool { return err == nil }}, // the answer to the end is still sent
		"swallow":    {Swallow, false, isTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEcho(t)
			p := NewProxy(t, e.addr)
			c1, c2 := dial(t, p), dial(t, p)
			if a, err := c1.ask("one"); a != "one" || err != nil {
				t.Fatalf("before: %q, %v", a, err)
			}
			came := p.OnNext("TWO", c.fate)
			if c.fate == Swallow {
				c1.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			}
			if a, err := c1.ask("two"); !c.fails(err) {
				t.Errorf("%q, %v", a, err)
			}
			<-came
			if arrived := strings.Contains(e.lines(), "two"); arrived != c.arrives {
				t.Errorf("arrived: %v", arrived)
			}
			if a, err := c2.ask("two"); a != "two" || err != nil {
				t.Errorf("the other connection: %q, %v", a, err)
			}
		})
	}
}

func TestProxyHalfCloseEndsTheDirection(t *testing.T) {
	e := newEcho(t)
	p := NewProxy(t, e.addr)
	c := dial(t, p)
	p.OnNext("two", HalfClose)
	if a, err := c.ask("two"); a != "two" || err != nil {
		t.Fatalf("%q, %v", a, err)
	}
	if _, err := c.r.ReadString('\n'); !errors.Is(err, io.EOF) { // the server read the end and closed
		t.Errorf("after the end: %v", err)
	}
}

func TestProxyOnAllConnections(t *testing.T) {
	e := newEcho(t)
	p := NewProxy(t, e.addr)
	c := dial(t, p)
	c.ask("one")

	p.Delay(100 * time.Millisecond)
	begun := time.Now()
	if _, err := c.ask("delayed"); err != nil || time.Since(begun) < 200*time.Millisecond {
		t.Errorf("delayed both ways by %v, %v", time.Since(begun), err)
	}
	p.Delay(0)

	p.HalfClose()
	if _, err := c.ask("half"); !errors.Is(err, io.EOF) {
		t.Errorf("half-closed: %v", err)
	}
	eventually(t, "a half-closed connection delivers", func() bool { return strings.HasSuffix(e.lines(), "half") })

	c = dial(t, p)
	c.ask("three")
	p.Cut()
	if _, err := c.ask("four"); err == nil {
		t.Error("a cut connection answers")
	}
	p.Refuse(true)
	if refused, err := net.Dial("tcp", p.Addr); err == nil { // or it is reset before it is made
		_, err = (&client{refused.(*net.TCPConn), bufio.NewReader(refused)}).ask("five")
		if _ = refused.Close(); err == nil {
			t.Error("a refused connection answers")
		}
	}
	p.Refuse(false)
	if a, err := dial(t, p).ask("six"); a != "six" || err != nil {
		t.Errorf("admitted again: %q, %v", a, err)
	}
	if got := e.lines(); got != "one delayed half three six" {
		t.Errorf("arrived: %s", got)
	}
	eventually(t, "connections end", func() bool { return p.Connections() <= 1 })
}

// The server commits, and the client is told of a broken connection.
func TestProxyCutsTheAnswerToACommit(t *testing.T) {
	for _, e := range []Engine{Postgres, MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			s := Start(t, e, Options{Fast: true})
			write(t, s, "before")
			direct := s.URL
			p := NewProxy(t, s.Addr)
			s.URL = p.URL(direct)
			db := openSQL(t, s)
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO written VALUES ('lost')"); err != nil {
				t.Fatal(err)
			}
			came := p.OnNext("commit", CutAnswer)
			if err := tx.Commit(); err == nil {
				t.Error("the commit was acknowledged")
			}
			<-came
			s.URL = direct
			if n := count(t, s); n != 2 {
				t.Errorf("%d rows, want 2", n)
			}
		})
	}
}
