// Package graph is the GraphQL admin API: a schema of one file per module, thin resolvers over the services of core, one
// table of errors, and limits on what one request may ask for.
package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/graph-gophers/graphql-go"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
)

// Path is where the handler is to be mounted, with everything below it.
const Path = "/graphql"

// Services are what the API is made of. All are required.
type Services struct {
	Projects      *project.Service
	Organizations *organization.Service
	SSO           *sso.Service
	OAuth         *oauth.Service
	Events        *events.Service
	Directories   *dirsync.Service
	Google        *google.Service
	Admin         *admin.Service
	Logger        *slog.Logger
	PublicURL     string
}

// Handler answers POST at Path for holders of an admin key, and shows browsers a page to write queries in.
type Handler struct {
	admin  *admin.Service
	logger *slog.Logger
	schema *ast.Schema
	pages  map[string]bool
	engine *graphql.Schema
}

// requestTime bounds one request. The longest that a mutation waits for is an identity provider's metadata.
const requestTime = 30 * time.Second

// New makes the handler.
func New(s Services) (*Handler, error) {
	text, err := schemaText()
	if err != nil {
		return nil, err
	}
	h := &Handler{admin: s.Admin, logger: s.Logger}
	if h.schema, h.pages, err = loadSchema(text); err != nil {
		return nil, err
	}
	if h.engine, err = graphql.ParseSchema(text, &resolver{Services: s}, h.options()...); err != nil {
		return nil, fmt.Errorf("graph: bind the schema: %w", err)
	}
	return h, nil
}

func (h *Handler) options() []graphql.SchemaOpt {
	return []graphql.SchemaOpt{graphql.UseStringDescriptions(), graphql.UseFieldResolvers(), graphql.DisableFieldSelections(),
		graphql.OverlapValidationLimit(maxOverlaps), graphql.PanicHandler(panics{}), graphql.Logger(h)}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, assetsPath):
		serveAsset(w, r)
	case r.URL.Path != Path:
		http.NotFound(w, r)
	case r.Method == http.MethodPost:
		h.servePost(w, r)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && acceptsHTML(r):
		serveExplorer(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		h.refuse(w, r, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "method_not_allowed",
			"Send GraphQL requests by POST. A browser finds a page to write them in here."))
	}
}

func (h *Handler) servePost(w http.ResponseWriter, r *http.Request) {
	if err := h.authenticate(r); err != nil {
		challenge := "Bearer"
		if r.Header.Get("Authorization") != "" {
			challenge = `Bearer error="invalid_token"` // RFC 6750 §3
		}
		w.Header().Set("WWW-Authenticate", challenge)
		h.refuse(w, r, http.StatusUnauthorized, err)
		return
	}
	defer func() { // a resolver's panic ends in its field, see panics; this is for what surrounds the resolvers
		if p := recover(); p != nil {
			h.LogPanic(r.Context(), p)
			h.refuse(w, r, http.StatusInternalServerError, errPanic)
		}
	}()
	q, status, err := readRequest(w, r)
	if err != nil {
		h.refuse(w, r, status, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	variables, err := h.prepare(&q)
	if err != nil {
		h.refuse(w, r, wellFormedStatus(r), err)
		return
	}
	h.execute(ctx, w, r, q, variables)
}

func (h *Handler) authenticate(r *http.Request) error {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		key = ""
	}
	return h.admin.Authenticate(strings.TrimSpace(key))
}

// request is the body of a POST (GraphQL over HTTP, section "Request Parameters").
type request struct {
	Query         string          `json:"query"`
	OperationName string          `json:"operationName"`
	Variables     json.RawMessage `json:"variables"`
}

// readRequest reads the body. A content type that a page of another site could send without asking first is refused.
func readRequest(w http.ResponseWriter, r *http.Request) (request, int, error) {
	var q request
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || (kind != mediaJSON && kind != mediaGraphQL) {
		return q, http.StatusUnsupportedMediaType, fault.New(fault.Invalid, "unsupported_media_type", "Send the request as application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return q, http.StatusRequestEntityTooLarge, fault.New(fault.TooLarge, "too_large", "A request has at most 1 MiB.")
	case err != nil:
		return q, http.StatusBadRequest, fault.Wrap(err, fault.Invalid, "bad_request", "The request could not be read to its end.")
	case bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")):
		return q, http.StatusBadRequest, fault.New(fault.Invalid, "batch", "Send one request at a time, not a list of them.")
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return q, http.StatusBadRequest, fault.Wrap(err, fault.Invalid, "bad_request",
			"The request must be a JSON object with query, and where needed variables and operationName.")
	}
	if strings.TrimSpace(q.Query) == "" {
		return q, http.StatusBadRequest, fault.New(fault.Invalid, "bad_request", "The request has no query.")
	}
	return q, 0, nil
}

// prepare judges the document by limits and schema, picks the operation and reads its variables.
func (h *Handler) prepare(q *request) (map[string]any, error) {
	given, err := readVariables(q.Variables)
	if err != nil {
		return nil, err
	}
	doc, err := parse(q.Query, given, h.pages)
	if err != nil {
		return nil, err
	}
	if list := validator.ValidateWithRules(h.schema, doc, documentRules); len(list) > 0 {
		return nil, list
	}
	op := doc.Operations.ForName(q.OperationName)
	if op == nil {
		return nil, fault.New(fault.Invalid, "operation_name", "Name one of the document's operations in operationName.")
	}
	q.OperationName = op.Name
	variables, err := validator.VariableValues(h.schema, op, given)
	if err != nil {
		return nil, variableFault(err)
	}
	for _, d := range op.VariableDefinitions {
		if err := h.checkScalars(d.Type, "$"+d.Variable, variables[d.Variable]); err != nil {
			return nil, err
		}
	}
	return variables, nil
}

// variableFault says which variable is wrong, and where in it. The validator names types of Go where one does not fit.
func variableFault(err error) error {
	if err == nil {
		return nil
	}
	place, reason := "A variable", "does not fit its type"
	var at *gqlerror.Error
	if errors.As(err, &at) && len(at.Path) > 1 {
		place = "The variable $" + at.Path[1:].String()
		if at.Message == "unknown field" || at.Message == "must be defined" || at.Message == "cannot be null" {
			reason = at.Message
		}
	}
	return fault.Wrap(err, fault.Invalid, "invalid_variable", place+": "+reason+".")
}

func (h *Handler) execute(ctx context.Context, w http.ResponseWriter, r *http.Request, q request, variables map[string]any) {
	result := h.engine.Exec(withLoaders(ctx), q.Query, q.OperationName, variables)
	answer := response{}
	if len(result.Data) > 0 {
		answer.Data = result.Data
	}
	answer.Errors = h.fieldErrors(ctx, requestID(w), result.Errors)
	status := http.StatusOK
	if nothing(result.Data) && unavailable(ctx, result.Errors) {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	write(w, r, status, answer)
}

// refuse answers a request that was not executed.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	write(w, r, status, response{Errors: h.requestErrors(r.Context(), requestID(w), err)})
}

const (
	mediaJSON    = "application/json"
	mediaGraphQL = "application/graphql-response+json"
)

// wellFormedStatus is the status of a request that is refused for its document or variables. To a client that asks for
// GraphQL's own media type it may be 400; of plain JSON the specification wants 200, as older clients expect
// (GraphQL over HTTP, section "Status Codes").
func wellFormedStatus(r *http.Request) int {
	if accepts(r, mediaGraphQL) {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func write(w http.ResponseWriter, r *http.Request, status int, answer response) {
	kind := mediaJSON
	if accepts(r, mediaGraphQL) {
		kind = mediaGraphQL
	}
	w.Header().Set("Content-Type", kind+"; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // secrets are shown once
	w.WriteHeader(status)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	_ = out.Encode(answer) // fails only when the caller has gone
}

func accepts(r *http.Request, kind string) bool {
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		name, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err == nil && name == kind && params["q"] != "0" {
			return true
		}
	}
	return false
}

func acceptsHTML(r *http.Request) bool { return accepts(r, "text/html") }

// requestID is the id that the middleware in front gave the request.
func requestID(w http.ResponseWriter) string { return w.Header().Get("X-Request-Id") }

// LogPanic implements the engine's logger.
func (h *Handler) LogPanic(ctx context.Context, value any) {
	h.logger.ErrorContext(ctx, "graphql request panicked", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}
