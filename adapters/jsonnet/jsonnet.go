// Package jsonnet evaluates mappings (Jsonnet) in processes of their own, which are this program started again. In the process
// of the service a snippet could end it: the interpreter overflows the stack past any recover, and nothing can stop it.
//
// The program is started again with an environment that asks for a worker, and this package's init answers: it runs before
// main and before the tests of a test binary, so a program that embeds Portico has nothing to call and nothing to forget.
// Nothing is handed to a process before it has said that it is a worker.
package jsonnet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/portico-sso/portico/ports/mapping"
)

// Options configure a Pool. The zero value works.
type Options struct {
	Workers int           // processes at most; 0 is one for each CPU, at least 2 and at most 8
	Timeout time.Duration // of an evaluation; 0 is 1 s
	Wait    time.Duration // for a process that is free; 0 is 5 s
	Waiting int           // evaluations that wait at most, others are refused at once, of a tenant half of them; 0 is 256

	program string // what is started, for tests; "" is this program
}

func (o Options) withDefaults() Options {
	if o.Workers == 0 {
		o.Workers = min(max(runtime.GOMAXPROCS(0), 2), 8)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.Wait == 0 {
		o.Wait = 5 * time.Second
	}
	if o.Waiting == 0 {
		o.Waiting = 256
	}
	return o
}

// What a worker may do before another takes its place.
const (
	mostAsked = 1000
	mostBusy  = 20 * time.Second // below maxCPU with the longest evaluation added
)

// Pool is a mapping.Mapper. Its processes start when they are needed and stay; each evaluates one snippet at a time.
type Pool struct {
	o      Options
	free   chan struct{} // holds one for each process that is at work
	closed chan struct{}

	mu      sync.Mutex
	idle    []*process // the last one was used last
	alive   map[*process]struct{}
	lines   map[string]*line // by tenant
	waiting int
	ended   bool
}

var _ mapping.Mapper = (*Pool)(nil)

// New makes a pool; it starts nothing yet.
func New(o Options) *Pool {
	o = o.withDefaults()
	return &Pool{
		o: o, free: make(chan struct{}, o.Workers), closed: make(chan struct{}),
		alive: map[*process]struct{}{}, lines: map[string]*line{},
	}
}

// Evaluate implements mapping.Mapper.
func (p *Pool) Evaluate(ctx context.Context, tenant, snippet string, vars map[string]json.RawMessage) (json.RawMessage, error) {
	q := question{Snippet: snippet, Vars: make(map[string]string, len(vars))}
	size := 0
	for name, value := range vars {
		if !json.Valid(value) || !utf8.ValidString(name) {
			return nil, &mapping.Error{Code: mapping.Input, Message: clip(fmt.Sprintf("the variable %q is not JSON", name))}
		}
		size += len(name) + len(value)
		q.Vars[name] = string(value)
	}
	if size > mapping.MaxInput {
		return nil, &mapping.Error{Code: mapping.Input, Message: fmt.Sprintf("the variables have %d bytes, more than %d", size, mapping.MaxInput)}
	}
	return p.ask(ctx, tenant, q)
}

// Check implements mapping.Mapper.
func (p *Pool) Check(ctx context.Context, tenant, snippet string) error {
	_, err := p.ask(ctx, tenant, question{Snippet: snippet, Check: true})
	return err
}

func (p *Pool) ask(ctx context.Context, tenant string, q question) (json.RawMessage, error) {
	if len(q.Snippet) > mapping.MaxSnippet {
		return nil, &mapping.Error{Code: mapping.Input, Message: fmt.Sprintf("the snippet has %d bytes, more than %d", len(q.Snippet), mapping.MaxSnippet)}
	}
	if !utf8.ValidString(q.Snippet) {
		return nil, &mapping.Error{Code: mapping.Syntax, Message: "the snippet is not UTF-8"}
	}
	leave, err := p.enter(ctx, tenant)
	if err != nil {
		return nil, err
	}
	defer leave()
	w, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	a, err := w.ask(ctx, q, p.o.Timeout)
	p.giveBack(w)
	if err != nil {
		return nil, err
	}
	return a.Value, nil
}

// line is where the evaluations of one tenant wait. They have at most half of the processes and of the places to wait, so that
// a tenant who runs into the limits each time leaves the others to the rest.
type line struct {
	slots   chan struct{}
	waiting int // guarded by Pool.mu, as is users
	users   int
}

// enter waits until one more evaluation of a tenant may begin. leave lets the next one in.
func (p *Pool) enter(ctx context.Context, tenant string) (leave func(), err error) {
	l, err := p.join(tenant)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(p.o.Wait)
	defer timer.Stop()
	for i, slots := range []chan struct{}{l.slots, p.free} {
		select {
		case slots <- struct{}{}:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-p.closed:
			err = errClosed
		case <-timer.C:
			err = unavailable("no process was free for %s", p.o.Wait)
		}
		if i == 1 {
			<-l.slots
		}
		p.begin(l)
		p.part(tenant, l)
		return nil, err
	}
	p.begin(l)
	return func() {
		<-p.free
		<-l.slots
		p.part(tenant, l)
	}, nil
}

func (p *Pool) join(tenant string) (*line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, errClosed
	}
	l, ok := p.lines[tenant]
	if !ok {
		l = &line{slots: make(chan struct{}, max(p.o.Workers/2, 1))}
	}
	if places := p.o.Waiting + p.o.Workers; p.waiting >= places || l.waiting >= max(places/2, 1) {
		return nil, unavailable("%d evaluations wait already", l.waiting)
	}
	p.lines[tenant] = l
	p.waiting++
	l.waiting++
	l.users++
	return l, nil
}

// begin is called for an evaluation that waits no more.
func (p *Pool) begin(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
	l.waiting--
}

func (p *Pool) part(tenant string, l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(p.lines, tenant)
	}
}

// take gives a process that is warm, or a new one.
func (p *Pool) take(ctx context.Context) (*process, error) {
	for {
		w, err := p.pop()
		if w == nil && err == nil {
			w, err = p.start(ctx)
		}
		if err != nil || !w.gone() {
			return w, err
		}
		p.forget(w)
	}
}

func (p *Pool) pop() (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, errClosed
	}
	if len(p.idle) == 0 {
		return nil, nil
	}
	last := len(p.idle) - 1
	w := p.idle[last]
	p.idle = p.idle[:last]
	return w, nil
}

func (p *Pool) start(ctx context.Context) (*process, error) {
	w, err := start(p.o.program)
	if err != nil {
		return nil, unavailable("a worker cannot be started: %v", err)
	}
	p.mu.Lock()
	p.alive[w] = struct{}{}
	if p.ended {
		w.kill(errClosed)
	}
	p.mu.Unlock()
	if err := w.greet(ctx); err != nil {
		p.forget(w)
		return nil, err
	}
	return w, nil
}

func (p *Pool) giveBack(w *process) {
	if w.spent() {
		p.forget(w)
		return
	}
	p.mu.Lock()
	ended := p.ended
	if !ended {
		p.idle = append(p.idle, w)
	}
	p.mu.Unlock()
	if ended {
		p.forget(w)
	}
}

// forget ends a process that nobody asks any more, and waits for its end.
func (p *Pool) forget(w *process) {
	w.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.alive, w)
}

// Close ends every process. Evaluations under way answer Unavailable, as do later ones.
func (p *Pool) Close() error {
	p.mu.Lock()
	if !p.ended {
		p.ended = true
		close(p.closed)
	}
	all, idle := slices.Collect(maps.Keys(p.alive)), p.idle
	p.idle = nil
	for _, w := range all {
		w.kill(errClosed)
	}
	p.mu.Unlock()
	for _, w := range all {
		<-w.ended
	}
	for _, w := range idle {
		p.forget(w)
	}
	return nil
}

var errClosed = unavailable("the mapper is closed")

func unavailable(format string, args ...any) error {
	return &mapping.Error{Code: mapping.Unavailable, Message: clip(fmt.Sprintf(format, args...))}
}

// clip cuts a message where it has to end, between two characters.
func clip(s string) string {
	const more = "…"
	if len(s) <= mapping.MaxMessage {
		return s
	}
	end := mapping.MaxMessage - len(more)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}
