package jsonnet

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/portico-sso/portico/ports/mapping"
)

// How a worker is asked for, and what it greets with. The number changes with the form of the frames.
const (
	workerVariable = "PORTICO_JSONNET_WORKER"
	workerValue    = "frames-1"
	startTime      = 20 * time.Second // for a machine under load: it takes some 20 ms
)

// process is a worker as its pool sees it. One goroutine asks at a time.
type process struct {
	cmd    *exec.Cmd
	in     *os.File
	out    *os.File
	reader *bufio.Reader
	stderr *head
	ended  chan struct{}         // closed once it is gone
	killed atomic.Pointer[error] // why we ended it
	asked  int
	busy   time.Duration
	last   bool
}

// start starts a worker without environment, files and folder of this process. It ends when its standard input does, which is
// when this process ends, however that happens. (A death signal would follow the thread that started it, not the process.)
func start(program string) (*process, error) {
	if program == "" {
		var err error
		if program, err = self(); err != nil {
			return nil, err
		}
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, childIn.Close(), in.Close())
	}
	w := &process{in: in, out: out, reader: bufio.NewReader(out), stderr: &head{}, ended: make(chan struct{})}
	w.cmd = exec.Command(program) //nolint:noctx // this program; it outlives the request that starts it
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = childIn, childOut, w.stderr
	w.cmd.Env = []string{workerVariable + "=" + workerValue, "GOTRACEBACK=none", "GOMAXPROCS=1"}
	w.cmd.Dir = string(os.PathSeparator)
	w.cmd.WaitDelay = time.Second // for what it says last; its standard error ends with it
	err = w.cmd.Start()
	closed := errors.Join(childIn.Close(), childOut.Close())
	if err != nil {
		return nil, errors.Join(err, closed, in.Close(), out.Close())
	}
	go func() {
		_ = w.cmd.Wait() // how it ended stands in ProcessState
		close(w.ended)
	}()
	return w, nil
}

// self is what this process runs, also after its file was replaced by another release.
func self() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// kill ends the process; the first reason counts.
func (w *process) kill(why error) {
	w.killed.CompareAndSwap(nil, &why)
	_ = w.cmd.Process.Kill() // it may have ended
}

// end ends the process, waits for that, and closes our ends of its pipes. Nobody asks it any more.
func (w *process) end() {
	w.kill(errEnded)
	<-w.ended
	_, _ = w.in.Close(), w.out.Close()
}

// gone reports whether the process ended by itself while it was idle.
func (w *process) gone() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// spent reports whether another has to take its place.
func (w *process) spent() bool {
	return w.last || w.killed.Load() != nil || w.asked >= mostAsked || w.busy >= mostBusy || w.gone()
}

// greet waits until the process has said that it is a worker.
func (w *process) greet(ctx context.Context) error {
	var a answer
	err := w.within(ctx, startTime, errStart, func() error { return readFrame(w.reader, maxAnswer, &a) })
	if err == nil && a.Hello == workerValue {
		return nil
	}
	w.kill(errStart)
	if err := w.fate(question{}); !errors.Is(err, errEnded) {
		return err
	}
	return errStart
}

var (
	errStart = unavailable("a worker cannot be started: this program, started again, does not answer as one")
	errEnded = errors.New("the worker ended")
)

// ask puts a question. The error is a *mapping.Error or that of ctx.
func (w *process) ask(ctx context.Context, q question, timeout time.Duration) (a answer, err error) {
	w.asked++
	began := time.Now()
	err = w.within(ctx, timeout, errTimeout(timeout), func() error {
		if err := writeFrame(w.in, q); err != nil {
			return err
		}
		return readFrame(w.reader, maxAnswer, &a)
	})
	w.busy += time.Since(began)
	if err != nil {
		w.last = true
		return answer{}, w.fate(q)
	}
	w.last = a.Last
	if a.Error != nil {
		a.Error.Message = clip(a.Error.Message)
		return a, a.Error
	}
	return a, nil
}

func errTimeout(limit time.Duration) error {
	return &mapping.Error{Code: mapping.Timeout, Message: "it took longer than " + limit.String()}
}

// within does I/O with the process, which is killed when the time is over or ctx ends.
func (w *process) within(ctx context.Context, limit time.Duration, over error, work func() error) error {
	timer := time.AfterFunc(limit, func() { w.kill(over) })
	defer timer.Stop()
	stop := context.AfterFunc(ctx, func() { w.kill(ctx.Err()) })
	defer stop()
	return work()
}

// fate is the error of a process that gave no answer, after its end.
func (w *process) fate(q question) error {
	if w.killed.Load() == nil {
		select { // an answer that could not be read may come from one that lives
		case <-w.ended:
		case <-time.After(time.Second):
			w.kill(errEnded)
		}
	}
	<-w.ended
	if why := w.killed.Load(); why != nil {
		return *why
	}
	said, failed := w.stderr.String(), mapping.Runtime
	if q.Check { // it is only read
		failed = mapping.Syntax
	}
	switch {
	case strings.Contains(said, "stack overflow"):
		return &mapping.Error{Code: failed, Message: tooDeep}
	case outOf.MatchString(said):
		return outOfMemory()
	case w.cmd.ProcessState.ExitCode() > 0:
		return &mapping.Error{Code: failed, Message: "the interpreter failed"}
	}
	return unavailable("the worker was ended from outside: %s", w.cmd.ProcessState)
}

// outOf is what the runtime says that gets no more memory, or the race detector in its place.
var outOf = regexp.MustCompile("memory|cannot map pages|address space|failed to allocate")

const tooDeep = "it is nested, or recurses, too deeply"

func outOfMemory() *mapping.Error {
	return &mapping.Error{Code: mapping.Memory, Message: "it takes too much memory"}
}

// head keeps the beginning of what is written to it, for one writer; it is read after the end of that.
type head struct{ kept []byte }

// Write implements io.Writer.
func (h *head) Write(b []byte) (int, error) {
	h.kept = append(h.kept, b[:min(len(b), 2048-len(h.kept))]...)
	return len(b), nil
}

func (h *head) String() string { return string(h.kept) }
