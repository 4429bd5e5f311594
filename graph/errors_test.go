package graph

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/graph-gophers/graphql-go"
	graphqlerrors "github.com/graph-gophers/graphql-go/errors"

	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
)

// TestEveryKindHasItsPlace walks the mapping table: each kind of fault is shown in the payload or at the top level.
func TestEveryKindHasItsPlace(t *testing.T) {
	if len(places) != len(fault.Kinds) {
		t.Errorf("%d places for %d kinds", len(places), len(fault.Kinds))
	}
	for _, kind := range fault.Kinds {
		err := &fault.Error{Kind: kind, Code: "some_code", Message: "Some message.", Field: "redirectUris.3", Err: errors.New("the cause")}
		list, top := userErrors(err, "id")
		switch places[kind] {
		case inPayload:
			if top != nil || len(list) != 1 || list[0].Code != "some_code" || list[0].Message != "Some message." ||
				strings.Join(*list[0].Path, "/") != "input/redirectUris/3" {
				t.Errorf("kind %d: %+v, %v", kind, list, top)
			}
		case topLevel:
			if list != nil || !errors.Is(top, err) {
				t.Errorf("kind %d: %+v, %v", kind, list, top)
			}
		default:
			t.Errorf("kind %d has no place", kind)
		}
	}
}

// TestNothingInternalIsShown walks the kinds again, and what nobody classified, through the response's errors.
func TestNothingInternalIsShown(t *testing.T) {
	var log bytes.Buffer
	h := &Handler{logger: slog.New(slog.NewTextHandler(&log, nil))}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, kind := range fault.Kinds {
		err := &fault.Error{Kind: kind, Code: "some_code", Message: "Some message.", Err: errors.New("the cause")}
		got := h.fieldErrors(t.Context(), "r1", []*graphqlerrors.QueryError{{Message: err.Error(), ResolverError: err, Path: []any{"project"}}})
		want := responseError{Message: "Some message.", Extensions: extensions{Code: "some_code", RequestID: "r1"}}
		if kind == fault.Internal {
			want.Message, want.Extensions.Code = "Something went wrong on our side.", "internal"
		}
		if got[0].Message != want.Message || got[0].Extensions != want.Extensions || got[0].Path == nil {
			t.Errorf("kind %d: %+v", kind, got)
		}
	}
	for _, c := range []struct {
		ctx  context.Context
		err  *graphqlerrors.QueryError
		code string
	}{
		{t.Context(), &graphqlerrors.QueryError{ResolverError: errors.New("the cause"), Message: "the cause", Path: []any{"x"}}, "internal"},
		{t.Context(), &graphqlerrors.QueryError{Message: "the cause", Path: []any{"x"}}, "internal"},
		{t.Context(), &graphqlerrors.QueryError{Message: "the cause: int32"}, "invalid_argument"},
		{ended, &graphqlerrors.QueryError{Message: "the cause"}, "timeout"},
		{t.Context(), panics{}.MakePanicError(t.Context(), "the cause"), "internal"},
	} {
		got := h.fieldErrors(c.ctx, "r1", []*graphqlerrors.QueryError{c.err})
		if len(got) != 1 || got[0].Extensions.Code != c.code || strings.Contains(got[0].Message, "cause") {
			t.Errorf("%+v: %+v", c.err, got)
		}
	}
	if strings.Count(log.String(), "graphql request failed") != 4 || !strings.Contains(log.String(), "the cause") {
		t.Errorf("internal errors are logged, and no others: %s", &log)
	}
}

type panicking struct{}

func (panicking) Boom() (*string, error) { panic("the secret cause") }
func (panicking) Fine() string           { return "fine" }

// TestPanics lets a resolver panic in an engine with the handler's options: its field alone fails.
func TestPanics(t *testing.T) {
	var log bytes.Buffer
	h := &Handler{logger: slog.New(slog.NewTextHandler(&log, nil))}
	engine := graphql.MustParseSchema(`type Query { boom: String fine: String! }`, &panicking{}, h.options()...)
	result := engine.Exec(t.Context(), `{ boom fine }`, "", nil)
	if string(result.Data) != `{"boom":null,"fine":"fine"}` {
		t.Errorf("data %s", result.Data)
	}
	got := h.fieldErrors(t.Context(), "r1", result.Errors)
	if len(got) != 1 || got[0].Message != "Something went wrong on our side." || got[0].Extensions.Code != "internal" {
		t.Errorf("errors %+v", got)
	}
	if !strings.Contains(log.String(), "graphql request panicked") || !strings.Contains(log.String(), "errors_test.go") {
		t.Errorf("the panic is not logged with its stack: %s", &log)
	}
}

// TestPanicsAroundResolvers asks a handler without an engine: the caller gets a 500 that tells nothing.
func TestPanicsAroundResolvers(t *testing.T) {
	var log bytes.Buffer
	schema, _, err := loadSchema("type Query { a: ID }")
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{schema: schema, logger: slog.New(slog.NewTextHandler(&log, nil)), admin: admin.NewService(nil, id.Source{}, []string{"key"})}
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(`{"query":"{ a }"}`))
	r.Header.Set("Authorization", "Bearer key")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if want := `{"errors":[{"message":"Something went wrong on our side.","extensions":{"code":"internal"}}]}`; w.Code != 500 || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "graphql request panicked") {
		t.Errorf("the panic is not logged: %s", &log)
	}
}

func TestLoadersReadOnce(t *testing.T) {
	var m memo[string]
	reads := 0
	read := func() (string, error) { reads++; return "value", nil }
	done := make(chan string)
	for range 8 {
		go func() {
			v, _ := m.get("id", read)
			done <- v
		}()
	}
	for range 8 {
		select {
		case v := <-done:
			if v != "value" {
				t.Errorf("value %q", v)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("stuck")
		}
	}
	if reads != 1 {
		t.Errorf("%d reads", reads)
	}
	m.forget()
	if _, err := m.get("id", read); err != nil || reads != 2 {
		t.Errorf("%d reads after forget, %v", reads, err)
	}
}
