package scim

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
)

const (
	logEvery = time.Second      // requests are in the log no later than that
	logMost  = 1000             // requests that wait to be written, at most half of them of one directory
	logPage  = 100              // requests of one commit
	logTime  = 10 * time.Second // that writing may take
)

// requestLog writes the requests of directories that keep a log, behind the answers. It is there to find out why a client is
// refused: what waits when the process is killed is lost, and when too many wait the newest are.
type requestLog struct {
	Options
	mu      sync.Mutex
	waiting map[string]*waiting // by directory
	n       int
	writing sync.Mutex
}

// waiting are the requests of one directory.
type waiting struct {
	directory dirsync.Directory
	requests  []dirsync.Request
}

func (l *requestLog) add(c *call, a answer) {
	if c.directory.LogFor <= 0 {
		return
	}
	path := "/" + strings.Join(c.path, "/")
	if c.URL.RawQuery != "" {
		path += "?" + c.URL.RawQuery
	}
	request := dirsync.Request{ProjectID: c.directory.ProjectID, DirectoryID: c.directory.ID, Method: c.Method,
		Path: path, Status: a.status, Reason: a.reason, Body: dirsync.RedactBody(c.body), At: l.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= logMost {
		return
	}
	w := l.waiting[c.directory.ID]
	if w == nil {
		w = &waiting{directory: c.directory}
		l.waiting[c.directory.ID] = w
	}
	if len(w.requests) >= logMost/2 {
		return
	}
	w.requests = append(w.requests, request)
	if l.n++; l.n == 1 {
		time.AfterFunc(logEvery, l.write)
	}
}

// write writes what waits, and returns when it is written.
func (l *requestLog) write() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	list := l.waiting
	l.waiting, l.n = map[string]*waiting{}, 0
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), logTime)
	defer cancel()
	for _, w := range list {
		for len(w.requests) > 0 {
			n := min(logPage, len(w.requests))
			if err := l.Directories.LogRequests(ctx, w.directory, w.requests[:n]...); err != nil {
				l.Logger.LogAttrs(ctx, slog.LevelWarn, "scim requests are not in the log", slog.String("directory_id", w.directory.ID),
					slog.Int("requests", len(w.requests)), slog.Any("error", err))
				break
			}
			w.requests = w.requests[n:]
		}
	}
}
