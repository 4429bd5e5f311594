package scim

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Operation is one change of a PATCH, RFC 7644 §3.5.2.
type Operation struct {
	Op    string          // add, remove or replace, in any case
	Path  string          // "" for the resource itself
	Value json.RawMessage // nil where there is none
}

const (
	opAdd     = "add"
	opRemove  = "remove"
	opReplace = "replace"
)

// ReadPatch parses the body of a PATCH. Names have no case, and neither have the operations, which come back in lower
// case.
func ReadPatch(body []byte) ([]Operation, error) {
	d := &decoder{text: string(body)}
	var ops []Operation
	if d.next() != '{' {
		return nil, refuse(TypeInvalidSyntax, "The body has to be a JSON object.")
	}
	err := d.members(func(name string) *Error {
		switch lower(name) {
		case "schemas":
			return d.patchSchemas()
		case "operations":
			if d.next() != '[' {
				return refuse(TypeInvalidSyntax, "Operations has to be a list.")
			}
			return d.elements(func() *Error {
				op, err := d.operation()
				if err != nil {
					return err.inOperation(len(ops))
				}
				ops = append(ops, op)
				if len(ops) > MaxOperations {
					return refuse(TypeTooMany, "There are more than %d operations.", MaxOperations)
				}
				return nil
			})
		default:
			_, err := d.value()
			return err
		}
	})
	if err == nil {
		err = d.end()
	}
	if err == nil && len(ops) == 0 {
		err = refuse(TypeInvalidSyntax, "There are no Operations.")
	}
	if err != nil {
		return nil, err
	}
	return ops, nil
}

// patchSchemas wants the URN of a PATCH where a client names schemas at all.
func (d *decoder) patchSchemas() *Error {
	value, err := d.value()
	if err != nil {
		return err
	}
	list, ok := value.([]any)
	for _, urn := range list {
		if s, _ := urn.(string); sameName(s, PatchURN) {
			return nil
		}
	}
	if ok && len(list) == 0 || value == nil {
		return nil
	}
	return refuse(TypeInvalidSyntax, "schemas: %s is wanted.", PatchURN)
}

func (d *decoder) operation() (op Operation, err *Error) {
	if d.next() != '{' {
		return op, refuse(TypeInvalidSyntax, "an object is wanted.")
	}
	err = d.members(func(name string) *Error {
		var err *Error
		var value any
		switch lower(name) {
		case "value":
			op.Value, err = d.raw()
			return err
		case "op":
			if value, err = d.value(); err == nil {
				op.Op, _ = value.(string)
				op.Op, err = operationName(op.Op)
			}
			return err
		case "path":
			if value, err = d.value(); err == nil && value != nil {
				var ok bool
				if op.Path, ok = value.(string); !ok {
					err = refuse(TypeInvalidPath, "path has to be a text.")
				}
			}
			return err
		default:
			_, err = d.value()
			return err
		}
	})
	if err == nil && op.Op == "" {
		_, err = operationName("")
	}
	return op, err
}

func operationName(s string) (string, *Error) {
	switch name := lower(s); name {
	case opAdd, opRemove, opReplace:
		return name, nil
	default:
		return "", refuse(TypeInvalidSyntax, "op has to be add, remove or replace, not %s.", quote(s))
	}
}

// inOperation says which operation, counted from 1, an error is about.
func (e *Error) inOperation(i int) *Error {
	e.Detail = fmt.Sprintf("Operation %d: %s", i+1, e.Detail)
	return e
}

// Patch applies operations to r in order, all or none, and reports whether r is another than before, so that asking for
// what already is changes nothing (RFC 7644 §3.5.2). It reads and checks values as Read does, but an attribute that no
// schema knows is 400 invalidPath.
//
// Where the RFC leaves a choice or providers need one:
//
//   - A replace of a complex attribute leaves the sub-attributes that it does not name (§3.5.2.3). A text in place of the
//     object replaces it whole.
//   - A path with a filter that no value matches makes one from the filter, if that says with eq and and alone what it
//     is: `emails[type eq "work"].value`. A replace does so only for a sub-attribute, and not from a filter that names
//     the "value" itself; else it is 400 noTarget.
//   - A value made primary makes the others not primary. An operation that makes two primary is 400 invalidValue.
//   - An added value that is there already, by its "value" and type, takes over the other sub-attributes.
//   - remove with a value takes those values out of a list (Entra ID). Without "value", what is left of an element of
//     emails and the like is taken out as well.
//   - A value-less path may have read-only attributes beside others, as Okta sends `id`: they are skipped. Alone, or under
//     a path of their own, they are 400 mutability unless they say what is. Another `id` than the resource's is so always.
//   - In an extension without a schema, what a path names is a list where it holds one, or gets one by add, or is chosen
//     from with a filter.
//
// The members of a group of any size are better kept elsewhere: see SplitMembers.
func (t *ResourceType) Patch(r Resource, ops []Operation) (changed bool, err error) {
	if len(ops) > MaxOperations {
		return false, refuse(TypeTooMany, "There are more than %d operations.", MaxOperations)
	}
	before := editor{t: t, r: maps.Clone(r)}
	before.setSchemas()
	e := editor{t: t, r: Clone(r)}
	for i := range ops {
		if err := e.apply(&ops[i]); err != nil {
			return false, err.inOperation(i)
		}
	}
	if err := e.finish(TypeMutability); err != nil {
		return false, err
	}
	if Equal(e.r, before.r) {
		return false, nil
	}
	clear(r)
	maps.Copy(r, e.r)
	return true, nil
}

func (e *editor) apply(op *Operation) *Error {
	name, err := operationName(op.Op)
	if err != nil {
		return err
	}
	var value any
	if op.Value != nil {
		if value, err = decode(op.Value); err != nil {
			return err
		}
	}
	switch {
	case name == opRemove && op.Path == "":
		return refuse(TypeNoTarget, "A remove needs a path.")
	case name != opRemove && (op.Value == nil || value == nil && name == opAdd):
		return refuse(TypeInvalidValue, "The operation needs a value.")
	case op.Path == "":
		return e.putAll(name, "", value, false)
	}
	p, err := e.t.patchPath(op.Path)
	if err != nil {
		return err
	}
	p = e.whole(p, op.Path, value, false)
	if name == opRemove {
		return e.remove(&p, value)
	}
	return e.put(name, &p, p.alone(value))
}
