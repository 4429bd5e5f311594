package scim

import (
	"errors"
	"net/http"
	"testing"

	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
)

// TestOutcomes walks all kinds of faults, and those that mean more than their kind.
func TestOutcomes(t *testing.T) {
	for _, kind := range fault.Kinds {
		o, ok := outcomes[kind]
		if !ok || o.status < 400 {
			t.Errorf("kind %d has no status", kind)
		}
		if got := refused(fault.New(kind, "any", "a sentence"), ""); got.Status != o.status || got.Type != o.scimType || got.Detail != "a sentence" {
			t.Errorf("kind %d: %+v", kind, got)
		}
	}
	for _, c := range []struct {
		err      error
		status   int
		scimType string
	}{
		{fault.New(fault.Conflict, "version_mismatch", ""), http.StatusPreconditionFailed, ""},
		{fault.New(fault.TooMany, "too_many", ""), http.StatusBadRequest, "tooMany"},
		{fault.New(fault.Invalid, "invalid_cursor", ""), http.StatusBadRequest, "invalidCursor"},
		{fault.New(fault.Taken, "uniqueness", ""), http.StatusConflict, "uniqueness"},
		{&scim.Error{Status: http.StatusBadRequest, Type: scim.TypeNoTarget}, http.StatusBadRequest, "noTarget"},
		{errors.New("a secret of ours"), http.StatusInternalServerError, ""},
	} {
		got := refused(c.err, "request-1")
		if got.Status != c.status || got.Type != c.scimType {
			t.Errorf("%v: %+v", c.err, got)
		}
		if c.status == http.StatusInternalServerError && got.Detail != "Something went wrong on our side. Request id: request-1" {
			t.Errorf("it says %q", got.Detail)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		headers []string
		want    match
		any     bool
	}{
		{nil, nil, false},
		{[]string{`W/"3"`}, match{3}, false},
		{[]string{`"3", W/"4"`, `"5"`}, match{3, 4, 5}, false},
		{[]string{"*"}, nil, true},
		{[]string{`"abc"`}, match{none}, false},
		{[]string{`W/"99999999999999999999"`}, match{none}, false},
		{[]string{" , "}, nil, false},
	} {
		got, all := versions(c.headers)
		if len(got) != len(c.want) || all != c.any {
			t.Errorf("%q: %v %t", c.headers, got, all)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q: %v", c.headers, got)
			}
		}
	}
	if list, _ := versions([]string{tag(7)}); !list.has(7) {
		t.Errorf("our own tag %s is not known again", tag(7))
	}
}
