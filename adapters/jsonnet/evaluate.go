package jsonnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"

	"github.com/portico-sso/portico/ports/mapping"
)

// snippetName is the file name of a snippet in the places of errors.
const snippetName = "snippet"

// evaluate answers a question in this process: only a worker calls it.
func evaluate(q question) answer {
	node, err := jsonnet.SnippetToAST(snippetName, q.Snippet)
	if err == nil {
		err = withoutImports(node)
	}
	if err != nil || q.Check {
		return answer{Error: explain(err)}
	}
	vm := jsonnet.MakeVM()
	vm.Importer(noImporter{})
	vm.SetTraceOut(io.Discard)
	if err := setVars(vm, q.Vars); err != nil {
		return answer{Error: explain(err)}
	}
	text, err := vm.Evaluate(node)
	if err != nil {
		return answer{Error: explain(err)}
	}
	value, failed := compact(text)
	return answer{Value: value, Error: failed}
}

// setVars binds each variable to its JSON by the parser of JSON: read as Jsonnet, it would take many times as long.
func setVars(vm *jsonnet.VM, vars map[string]string) error {
	for name, text := range vars {
		hidden := "\x00" + name
		node, err := jsonnet.SnippetToAST("variable", fmt.Sprintf("std.parseJson(std.extVar(%s))", quote(hidden)))
		if err != nil {
			return err
		}
		vm.ExtVar(hidden, text)
		vm.ExtNode(name, node)
	}
	return nil
}

// quote writes a string as JSON, which is a string of Jsonnet too.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always can
	return string(b)
}

type noImporter struct{}

// Import implements jsonnet.Importer.
func (noImporter) Import(string, string) (jsonnet.Contents, string, error) {
	return jsonnet.Contents{}, "", errors.New(noImports)
}

const noImports = "a mapping imports nothing"

// placed is an error at a place of the snippet, in the form of the interpreter's own static errors.
type placed struct {
	message string
	at      ast.LocationRange
}

func (p placed) Error() string          { return p.message }
func (p placed) Loc() ast.LocationRange { return p.at }

// withoutImports refuses a snippet that has an import anywhere, evaluated or not.
func withoutImports(node ast.Node) error {
	switch node.(type) {
	case *ast.Import, *ast.ImportStr, *ast.ImportBin:
		return placed{noImports, *node.Loc()}
	}
	for _, child := range toolutils.Children(node) {
		if err := withoutImports(child); err != nil {
			return err
		}
	}
	return nil
}

// explain puts an error of the interpreter into our words; nil stays nil.
func explain(err error) *mapping.Error {
	if err == nil {
		return nil
	}
	var static interface{ Loc() ast.LocationRange }
	var running jsonnet.RuntimeError
	switch {
	case errors.As(err, &running):
		e := &mapping.Error{Code: mapping.Runtime, Message: clip(running.Msg)}
		for _, frame := range running.StackTrace { // the innermost one is the last
			if inSnippet(frame.Loc) {
				e.Line, e.Column = frame.Loc.Begin.Line, frame.Loc.Begin.Column
			}
		}
		return e
	case errors.As(err, &static):
		at := static.Loc()
		e := &mapping.Error{Code: mapping.Syntax, Message: clip(strings.TrimSpace(strings.ReplaceAll(err.Error(), at.String(), "")))}
		if inSnippet(at) {
			e.Line, e.Column = at.Begin.Line, at.Begin.Column
		}
		return e
	}
	return crashed(err)
}

func inSnippet(at ast.LocationRange) bool {
	return at.IsSet() && at.File != nil && at.File.DiagnosticFileName == snippetName
}

// crashed explains a panic that the interpreter recovered from.
func crashed(err error) *mapping.Error {
	message, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "(CRASH) "), "\n")
	if strings.Contains(message, "out of range") || strings.Contains(message, "too large") { // a length that nothing can have
		return outOfMemory()
	}
	return &mapping.Error{Code: mapping.Runtime, Message: clip("the interpreter failed: " + message)}
}

// compact writes the value as encoding/json would: short numbers, no white space.
func compact(text string) (json.RawMessage, *mapping.Error) {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return nil, &mapping.Error{Code: mapping.Output, Message: clip("what it comes to is not JSON: " + err.Error())}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, &mapping.Error{Code: mapping.Output, Message: clip("what it comes to is not JSON: " + err.Error())}
	}
	if b.Len() > mapping.MaxOutput {
		return nil, &mapping.Error{Code: mapping.Output, Message: fmt.Sprintf("what it comes to has %d bytes, more than %d", b.Len(), mapping.MaxOutput)}
	}
	return b.Bytes()[:b.Len()-1], nil
}
