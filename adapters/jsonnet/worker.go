package jsonnet

import (
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Limits of a worker. The address space and the CPU time are the kernel's to hold (see limits_linux.go).
const (
	maxMemory   = 128 << 20 // of the heap and the stacks
	softMemory  = 96 << 20  // from which on the collector works harder
	maxStack    = 64 << 20
	maxCPU      = 60                   // seconds, in its whole life
	lookEvery   = 5 * time.Millisecond // at the memory, while it evaluates
	tiredMemory = 64 << 20             // of what is mapped, after which another takes its place
)

// init makes this process a worker where it was started as one, before anything else of the program runs.
func init() {
	if os.Getenv(workerVariable) == workerValue {
		work(os.Stdin, os.Stdout)
	}
}

// work answers questions until there are no more.
func work(in io.Reader, out io.Writer) {
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(softMemory)
	_ = evaluate(question{Snippet: "{}"}) // warm: the first question shall not pay for what all share
	if err := limit(); err != nil {
		fail(err)
	}
	w := &worker{out: out}
	w.say(answer{Hello: workerValue})
	questions := make(chan question)
	go func() { // it reads also while a snippet runs: the end of the input is the end of the process that asks
		for {
			var q question
			if err := readFrame(in, maxQuestion, &q); err != nil {
				os.Exit(0)
			}
			questions <- q
		}
	}()
	for q := range questions {
		w.answer(q)
	}
}

func fail(err error) {
	_, _ = io.WriteString(os.Stderr, err.Error())
	os.Exit(1)
}

type worker struct {
	mu  sync.Mutex
	out io.Writer
}

// say writes an answer whole, and ends the process after the last one.
func (w *worker) say(a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := writeFrame(w.out, a); err != nil {
		fail(err)
	}
	if a.Last {
		os.Exit(0)
	}
}

// answer evaluates under watch: whoever comes first, the snippet or its limit, answers.
func (w *worker) answer(q question) {
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if inUse() > maxMemory {
					w.say(answer{Error: outOfMemory(), Last: true})
				}
			}
		}
	}()
	a := evaluate(q)
	close(done)
	<-watched
	a.Last = a.Last || mapped() > tiredMemory
	w.say(a)
}

func inUse() uint64 {
	return read("/memory/classes/heap/objects:bytes") + read("/memory/classes/heap/stacks:bytes")
}

func mapped() uint64 {
	return read("/memory/classes/total:bytes") - read("/memory/classes/heap/released:bytes")
}

func read(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
