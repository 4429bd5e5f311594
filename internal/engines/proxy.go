package engines

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Proxy forwards TCP connections to a server and does to them what networks do: it delays, cuts, half-closes, swallows.
//
//	p := engines.NewProxy(t, s.Addr)
//	url := p.URL(s.Fresh(t))
//	p.OnNext("commit", engines.CutAnswer) // the server commits, the client never learns it
type Proxy struct {
	Addr string // host:port to connect to

	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	links  map[*link]bool
	decide func(Chunk) Fate
	delay  time.Duration
	refuse bool
	closed bool
}

// Chunk is what one read from a connection brought: a small request or answer whole, a large one in parts.
type Chunk struct {
	FromClient bool
	Data       []byte // not to be kept
}

// Fate is what becomes of a connection at a chunk.
type Fate int

// The fates.
const (
	Pass      Fate = iota // the chunk goes on
	Cut                   // the chunk is lost and both sides see the connection reset
	CutAnswer             // the chunk goes on, and the connection is cut when something comes back
	HalfClose             // the chunk goes on, and then this direction ends: the receiver reads the end of the stream
	Swallow               // the chunk and all after it in this direction are lost, while the connection stays open
)

// NewProxy makes a proxy to a server's address (host:port) that ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, links: map[*link]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// URL is a server's URL with the proxy's address in place of the server's. A MongoDB driver is told not to go on to the
// address that the server gives it.
func (p *Proxy) URL(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server // whoever opens it says what is wrong with it
	}
	u.Host = p.Addr
	if u.Scheme == "mongodb" {
		q := u.Query()
		q.Set("directConnection", "true")
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// Decide has each chunk's fate decided by a function, called on many goroutines; nil passes all.
func (p *Proxy) Decide(f func(Chunk) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = f
}

// OnNext decides the fate of the next chunk from a client that has the text in it, in any case; all others pass. It
// replaces what was decided before. The returned channel is closed when that chunk came.
func (p *Proxy) OnNext(text string, fate Fate) (came <-chan struct{}) {
	seen := make(chan struct{})
	var once sync.Once
	p.Decide(func(c Chunk) (f Fate) {
		if c.FromClient && bytes.Contains(bytes.ToLower(c.Data), bytes.ToLower([]byte(text))) {
			once.Do(func() { f = fate; close(seen) })
		}
		return f
	})
	return seen
}

// Delay holds every chunk back for so long, in both directions.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Refuse has new connections reset at once, or no longer.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// Cut resets all connections that are open.
func (p *Proxy) Cut() {
	for _, l := range p.open() {
		l.cut()
	}
}

// HalfClose ends the direction from the server to the client on all connections that are open: clients read the end of the
// stream, while what they send still arrives.
func (p *Proxy) HalfClose() {
	for _, l := range p.open() {
		l.mute()
		_ = l.client.CloseWrite()
	}
}

// Connections is how many connections are open.
func (p *Proxy) Connections() int { return len(p.open()) }

func (p *Proxy) open() (links []*link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	server, err := net.Dial("tcp", p.target) //nolint:noctx // on this machine
	if err != nil {
		reset(client)
		return
	}
	l := &link{proxy: p, client: client, server: server.(*net.TCPConn)}
	if !p.admit(l) {
		l.cut()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.forward(true) })
	both.Go(func() { l.forward(false) })
	both.Wait()
	_, _ = l.client.Close(), l.server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) admit(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || p.closed {
		return false
	}
	p.links[l] = true
	return true
}

// treat says what becomes of a chunk, after the delay.
func (p *Proxy) treat(c Chunk) Fate {
	p.mu.Lock()
	decide, delay := p.decide, p.delay
	p.mu.Unlock()
	time.Sleep(delay)
	if decide == nil {
		return Pass
	}
	return decide(c)
}

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn

	mu    sync.Mutex
	lost  bool // the connection is cut at the next answer
	muted bool // answers are swallowed
}

// forward copies one direction, chunk by chunk, to its end.
func (l *link) forward(fromClient bool) {
	from, to := l.server, l.client
	if fromClient {
		from, to = l.client, l.server
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !l.pass(Chunk{FromClient: fromClient, Data: buffer[:n]}, from, to) {
			return
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite()
			return
		}
		if err != nil {
			l.cut()
			return
		}
	}
}

// pass does with a chunk what was decided, and says whether the direction goes on.
func (l *link) pass(c Chunk, from io.Reader, to *net.TCPConn) bool {
	fate := l.proxy.treat(c)
	fate = l.remember(c, fate)
	switch fate {
	case Cut:
		l.cut()
		return false
	case Swallow:
		_, _ = io.Copy(io.Discard, from)
		return false
	}
	if _, err := to.Write(c.Data); err != nil {
		l.cut()
		return false
	}
	if fate == HalfClose {
		_ = to.CloseWrite()
		_, _ = io.Copy(io.Discard, from) // the sender does not notice
		return false
	}
	return true
}

// remember changes an answer's fate by what was decided earlier. It is told of CutAnswer before the request goes on, so that
// the answer cannot be faster.
func (l *link) remember(c Chunk, fate Fate) Fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case fate == CutAnswer:
		l.lost = true
	case l.lost && !c.FromClient:
		return Cut
	case l.muted && !c.FromClient:
		return Swallow
	}
	return fate
}

func (l *link) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = true
}

// cut resets both sides.
func (l *link) cut() {
	reset(l.client)
	reset(l.server)
}

// reset closes a connection without the usual end, so that the peer sees "connection reset".
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
