package scim

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
)

// TestLogLeavesRoom has a directory ask more than may wait to be written: another one is in the log all the same.
func TestLogLeavesRoom(t *testing.T) {
	l := &requestLog{Options: Options{Now: time.Now}, waiting: map[string]*waiting{}, n: 1} // so that it is not written
	ask := func(directoryID string) {
		l.add(&call{Request: &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/Users"}}, directory: dirsync.Directory{ID: directoryID, LogFor: 60}}, answer{status: 200})
	}
	for range 2 * logMost {
		ask("busy")
	}
	ask("other")
	if busy, other := len(l.waiting["busy"].requests), len(l.waiting["other"].requests); busy != logMost/2 || other != 1 {
		t.Errorf("%d requests of the one wait, %d of the other", busy, other)
	}
}
