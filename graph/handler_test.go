package graph_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func post(body string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

const ping = `{"query":"{ __typename }"}`

func TestRequests(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		request *http.Request
		status  int
		code    string // of the one error; "" where the request is answered
	}{
		"answered":                   {post(ping), 200, ""},
		"scheme in lower case":       {post(ping, "Authorization", "bearer "+adminKey), 200, ""},
		"with a charset":             {post(ping, "Content-Type", "application/json; charset=utf-8"), 200, ""},
		"GraphQL's media type":       {post(ping, "Content-Type", "application/graphql-response+json"), 200, ""},
		"unknown members":            {post(`{"query":"{ __typename }","extensions":{"a":1}}`), 200, ""},
		"null variables":             {post(`{"query":"{ __typename }","variables":null}`), 200, ""},
		"a named operation":          {post(`{"query":"query a { __typename } query b { __typename }","operationName":"b"}`), 200, ""},
		"no key":                     {post(ping, "Authorization", ""), 401, "unauthorized"},
		"a wrong key":                {post(ping, "Authorization", "Bearer nope"), 401, "unauthorized"},
		"another scheme":             {post(ping, "Authorization", "Basic "+adminKey), 401, "unauthorized"},
		"the key alone":              {post(ping, "Authorization", adminKey), 401, "unauthorized"},
		"an empty key":               {post(ping, "Authorization", "Bearer "), 401, "unauthorized"},
		"no key, and junk":           {post("junk", "Authorization", "", "Content-Type", "text/plain"), 401, "unauthorized"},
		"a form":                     {post("query=%7B__typename%7D", "Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type"},
		"an upload":                  {post("--x--", "Content-Type", "multipart/form-data; boundary=x"), 415, "unsupported_media_type"},
		"plain text":                 {post(ping, "Content-Type", "text/plain"), 415, "unsupported_media_type"},
		"application/graphql":        {post("{ __typename }", "Content-Type", "application/graphql"), 415, "unsupported_media_type"},
		"no content type":            {post(ping, "Content-Type", ""), 415, "unsupported_media_type"},
		"a batch":                    {post("\n [" + ping + "]"), 400, "batch"},
		"not JSON":                   {post("{"), 400, "bad_request"},
		"two values":                 {post(ping + ping), 400, "bad_request"},
		"a string":                   {post(`"{ __typename }"`), 400, "bad_request"},
		"no query":                   {post(`{"operationName":"a"}`), 400, "bad_request"},
		"no body":                    {post(""), 400, "bad_request"},
		"a query of a wrong type":    {post(`{"query":1}`), 400, "bad_request"},
		"over 1 MiB":                 {post(`{"query":"{ __typename }","x":"` + strings.Repeat("x", 1<<20) + `"}`), 413, "too_large"},
		"variables in a list":        {post(`{"query":"{ __typename }","variables":[1]}`), 200, "bad_request"},
		"no such operation":          {post(`{"query":"query a { __typename }","operationName":"b"}`), 200, "operation_name"},
		"which operation":            {post(`{"query":"query a { __typename } query b { __typename }"}`), 200, "operation_name"},
		"a syntax error":             {post(`{"query":"{ project("}`), 200, "invalid_document"},
		"a syntax error, new client": {post(`{"query":"{ project("}`, "Accept", "application/graphql-response+json"), 400, "invalid_document"},
		"an unknown field":           {post(`{"query":"{ nope }"}`), 200, "invalid_document"},
		"only fragments":             {post(`{"query":"fragment a on Project { id }"}`), 200, "no_operation"},
		"a schema":                   {post(`{"query":"type Query { a: ID }"}`), 200, "invalid_document"},
		"a subscription":             {post(`{"query":"subscription { a }"}`), 200, "invalid_document"},
		"a missing variable":         {post(`{"query":"query($id: ID!) { organization(id: $id) { id } }"}`), 200, "invalid_variable"},
		"a variable of a wrong type": {post(`{"query":"query($id: ID!) { organization(id: $id) { id } }","variables":{"id":{"a":1}}}`), 200, "invalid_variable"},
		"a number for a text":        {post(`{"query":"query($s: String) { project(slug: $s) { id } }","variables":{"s":1}}`), 200, "invalid_variable"},
		"a text for an input":        {post(`{"query":"mutation($in: CreateProjectInput!) { createProject(input: $in) { errors { code } } }","variables":{"in":"x"}}`), 200, "invalid_variable"},
		"an unknown input field":     {post(`{"query":"mutation($in: CreateProjectInput!) { createProject(input: $in) { errors { code } } }","variables":{"in":{"x":1}}}`), 200, "invalid_variable"},
		"a text for a number":        {post(`{"query":"query($n: Int) { projects(first: $n) { totalCount } }","variables":{"n":"5"}}`), 200, "invalid_variable"},
		"a number beyond 32 bits":    {post(`{"query":"query($n: Int) { projects(first: $n) { totalCount } }","variables":{"n":5000000000}}`), 200, "invalid_variable"},
		"a literal beyond 32 bits":   {post(`{"query":"{ projects(first: 5000000000) { totalCount } }"}`), 200, "invalid_document"},
		"a fraction":                 {post(`{"query":"query($n: Int) { projects(first: $n) { totalCount } }","variables":{"n":1.5}}`), 200, "invalid_variable"},
		"PUT":                        {httptest.NewRequest(http.MethodPut, "/graphql", nil), 405, "method_not_allowed"},
		"OPTIONS":                    {httptest.NewRequest(http.MethodOptions, "/graphql", nil), 405, "method_not_allowed"},
		"GET":                        {httptest.NewRequest(http.MethodGet, "/graphql?query={__typename}", nil), 405, "method_not_allowed"},
	} {
		a := w.serve(c.request)
		code := ""
		if len(a.Errors) > 0 {
			code = a.Errors[0].Extensions.Code
			if a.Errors[0].Extensions.RequestID != "request-1" || a.Errors[0].Message == "" {
				t.Errorf("%s: %+v", name, a.Errors)
			}
		}
		if a.Status != c.status || code != c.code || (c.code == "") != (a.Data["__typename"] == "Query") {
			t.Errorf("%s: status %d, errors %+v, data %v", name, a.Status, a.Errors, a.Data)
		}
		if a.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/") {
			t.Errorf("%s: headers %v", name, a.Header)
		}
		for _, e := range a.Errors {
			for _, internal := range []string{"int32", "float64", "interface", "reflect", "graph.", "unmarshal"} {
				if strings.Contains(e.Message, internal) {
					t.Errorf("%s tells of internals: %s", name, e.Message)
				}
			}
		}
	}
}

func TestChallenges(t *testing.T) {
	w := newWorld(t)
	a := w.serve(post(ping, "Authorization", ""))
	equal(t, "without a key", a.Header.Get("WWW-Authenticate"), "Bearer")
	a = w.serve(post(ping, "Authorization", "Bearer nope"))
	equal(t, "with a wrong one", a.Header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`)
	a = w.serve(httptest.NewRequest(http.MethodGet, "/graphql", nil))
	equal(t, "allowed methods", a.Header.Get("Allow"), "GET, HEAD, POST")
}

func TestMediaTypes(t *testing.T) {
	w := newWorld(t)
	for accept, want := range map[string]string{
		"": "application/json", "*/*": "application/json", "application/json": "application/json",
		"application/graphql-response+json, application/json;q=0.9": "application/graphql-response+json",
		"application/graphql-response+json;q=0":                     "application/json",
	} {
		a := w.serve(post(ping, "Accept", accept))
		equal(t, accept, a.Header.Get("Content-Type"), want+"; charset=utf-8")
	}
}

// TestStoreFailures closes the database and ends requests early: the caller reads why, and nothing internal.
func TestStoreFailures(t *testing.T) {
	w := newWorld(t)
	ended, end := context.WithCancel(t.Context())
	end()
	a := w.serve(post(`{"query":"{ projects { totalCount } }"}`).WithContext(ended))
	if a.Status != 503 || len(a.Errors) != 1 || a.Errors[0].Extensions.Code != "timeout" {
		t.Errorf("an ended request: %+v", a)
	}
	must(t, w.backend.Close())
	for _, query := range []string{`{ projects { totalCount } }`, `{ project(slug: "a") { id } }`, `mutation { createProject(input: {}) { errors { code } } }`} {
		a := w.send(query, nil)
		if a.Status != 503 || a.Header.Get("Retry-After") == "" || len(a.Errors) != 1 || a.Errors[0].Extensions.Code != "unavailable" || len(a.Errors[0].Path) == 0 {
			t.Errorf("%s: %+v", query, a)
		}
	}
	if a := w.send(`{ project(slug: "a") { id } __typename }`, nil); a.Status != 200 || len(a.Errors) != 1 {
		t.Errorf("an answer in part: %+v", a)
	}
}

// TestSecretsStayOut looks for secrets in the log, and in what queries show.
func TestSecretsStayOut(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("x")
	p := w.mutate("createApplication", "CreateApplicationInput", "application { id } secret",
		object{"projectId": projectID, "name": "a", "redirectUris": []string{"https://a.example.com/"}})
	p2 := w.mutate("createConnection", "CreateConnectionInput", "connection { id } clientSecret",
		object{"organizationId": w.organization(projectID, "o"), "metadataXml": metadata("urn:idp", certificate(t, "c", w.now.AddDate(1, 0, 0)))})
	must(t, w.backend.Close())
	w.send(`{ projects { totalCount } }`, object{"planted": "planted-secret"})
	for _, secret := range []string{adminKey, "planted-secret", p["secret"].(string), p2["clientSecret"].(string)} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	data := w.run(`{ __schema { types { name fields { name } } } }`, nil)
	for _, typ := range at(t, data, "__schema", "types").([]any) {
		name := at(t, typ, "name").(string)
		fields, _ := at(t, typ, "fields").([]any)
		for _, f := range fields {
			if field := at(t, f, "name").(string); strings.Contains(strings.ToLower(field), "secret") && !strings.HasSuffix(name, "Payload") && name != "Mutation" {
				t.Errorf("%s.%s is a secret that can be read", name, field)
			}
		}
	}
}

func TestOneAnswerPerRead(t *testing.T) {
	w := newWorld(t)
	id := w.project("x")
	data := w.run(`mutation($id: ID!) {
		a: updateProject(input: {id: $id, name: "first"}) { project { name } }
		o: createOrganization(input: {projectId: $id, slug: "o"}) { organization { project { name } } }
		b: updateProject(input: {id: $id, name: "second"}) { project { name } }
		p: createOrganization(input: {projectId: $id, slug: "p"}) { organization { project { name } } } }`, object{"id": id})
	equal(t, "each as it was then", []any{at(t, data, "a", "project", "name"), at(t, data, "o", "organization", "project", "name"),
		at(t, data, "b", "project", "name"), at(t, data, "p", "organization", "project", "name")}, []string{"first", "first", "second", "second"})
}

// FuzzRequests sends any body: it is answered with JSON, and nothing is our fault.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{ping, `{"query":"` + "{ project(slug: \\\"x\\\") { id } }" + `"}`, `{"query":"mutation($i: CreateProjectInput!) { createProject(input: $i) { errors { code } } }","variables":{"i":{"slug":"a"}}}`,
		`{"query":"query($n: Int = 5) { projects(first: $n, after: \"x\") { nodes { ...f } } } fragment f on Project { id }","variables":{"n":null}}`,
		`{"query":"mutation($b: SamlBinding) { updateConnection(input: {id: 1, binding: $b}) { errors { code } } }","variables":{"b":"auto"}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t)
		for _, e := range w.serve(post(body)).Errors {
			if e.Extensions.Code == "internal" || e.Extensions.Code == "" {
				t.Errorf("%+v for %s: %s", e, body, w.log)
			}
		}
		if strings.Contains(w.log.String(), "panic") {
			t.Errorf("%s", w.log)
		}
	})
}

// FuzzQueries is FuzzRequests that spends no time on JSON.
func FuzzQueries(f *testing.F) {
	f.Add(introspection)
	f.Add(`{ a: project(slug: "x") { ...p } projects(first: 3) { edges { node { organizations { totalCount } } } } } fragment p on Project { id @skip(if: true) }`)
	f.Add(`mutation { createConnection(input: {organizationId: "x", metadataXml: """<a/>""", sortOrder: 3, binding: AUTO}) { errors { path } } }`)
	f.Fuzz(func(t *testing.T, query string) {
		w := newWorld(t)
		body, err := json.Marshal(object{"query": query, "variables": object{"n": 5}})
		must(t, err)
		for _, e := range w.serve(post(string(body))).Errors {
			if e.Extensions.Code == "internal" || e.Extensions.Code == "" {
				t.Errorf("%+v for %s: %s", e, query, w.log)
			}
		}
	})
}
