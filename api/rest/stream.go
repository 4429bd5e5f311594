package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
)

const (
	maxStreams  = 200              // of one instance
	streamPoll  = 2 * time.Second  // how often it is looked for what other instances have written
	streamPing  = 15 * time.Second // how often something is sent, so that nobody on the way takes the line for dead
	streamWrite = 30 * time.Second // how long a reader may take for what it is sent
)

// Stream serves GET /api/v1/events/stream as server-sent events (HTML §9.2). The id of each is its position, so a reader that
// comes back with Last-Event-ID misses none.
func (h *Handler) Stream(w http.ResponseWriter, r *http.Request) {
	if !h.admit(w, r, http.MethodGet) {
		return
	}
	q, err := h.query(r)
	if err == nil {
		err = h.begin(r, &q)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	select {
	case h.streams <- struct{}{}:
		defer func() { <-h.streams }()
	default:
		h.fail(w, r, fault.New(fault.TooMany, "too_many_streams", "Too many streams are open. Try again in a moment."))
		return
	}
	grown, stop := h.Services.Events.Watch(q.ProjectID)
	defer stop()
	feed, err := h.Services.Events.Read(r.Context(), q) // so that a cursor that cannot be is told by the status
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	s := &stream{w: w, line: http.NewResponseController(w), query: q}
	_ = s.line.SetReadDeadline(time.Time{}) // the server's are for requests that end
	if s.send([]byte("retry: 2000\n\n")) == nil && s.pass(feed) == nil {
		h.follow(r, s, grown, feed.More)
	}
}

// begin finds where a stream starts: behind Last-Event-ID, else behind after, else now.
func (h *Handler) begin(r *http.Request, q *events.Query) (err error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if q.After, err = number(last, 0); err != nil {
			return fault.At("Last-Event-ID", "invalid_cursor", "Last-Event-ID is the position of an event, or 0.")
		}
	}
	if q.After < 0 {
		q.After, err = h.Services.Events.LastPosition(r.Context(), q.ProjectID)
	}
	return err
}

// atOnce lets nobody wait.
var atOnce = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// follow sends what comes until somebody ends it; more is there already.
func (h *Handler) follow(r *http.Request, s *stream, grown <-chan struct{}, more bool) {
	poll, ping := time.NewTicker(streamPoll), time.NewTicker(streamPing)
	defer poll.Stop()
	defer ping.Stop()
	for {
		var next <-chan struct{}
		if more {
			next = atOnce
		}
		select {
		case <-r.Context().Done():
			return
		case <-h.closed:
			return
		case <-ping.C:
			if h.authenticate(r) != nil || s.ping() != nil {
				return
			}
			continue
		case <-next:
		case <-grown:
		case <-poll.C:
		}
		feed, err := h.Services.Events.Read(r.Context(), s.query)
		if err != nil {
			if r.Context().Err() == nil {
				h.Logger.WarnContext(r.Context(), "stream of events ended", "project_id", s.query.ProjectID, "error", err)
			}
			return // the reader comes back, and is told by a status
		}
		if s.pass(feed) != nil {
			return
		}
		more = feed.More
	}
}

type stream struct {
	w     http.ResponseWriter
	line  *http.ResponseController
	query events.Query
	told  int64 // the last id that was sent
}

// pass sends the events of a feed and goes on behind them.
func (s *stream) pass(feed events.Feed) error {
	s.query.After = feed.Next
	if len(feed.Events) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, e := range feed.Events {
		v := e.Envelope()
		data, err := json.Marshal(v) // in one line
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n", v.Position, v.Type, data)
		s.told = v.Position
	}
	return s.send(b.Bytes())
}

// ping sends nothing, or how far the log was looked through: an id alone is kept by the reader and is no event.
func (s *stream) ping() error {
	if s.query.After == s.told {
		return s.send([]byte(":\n\n"))
	}
	s.told = s.query.After
	return s.send(fmt.Appendf(nil, "id: %d\n\n", s.told))
}

func (s *stream) send(text []byte) error {
	_ = s.line.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.line.Flush()
}
