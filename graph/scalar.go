package graph

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/portico-sso/portico/core/fault"
)

const wantedTime = "give an instant as RFC 3339 has it, such as 2026-01-31T09:30:00Z"

// documentRules are those of GraphQL, and that a Time in a document is one: the engine would say no more than that something
// does not fit.
var documentRules = func() *rules.Rules {
	r := rules.NewDefaultRules()
	r.AddRule("InstantsAreRFC3339", func(observers *core.Events, addError core.AddErrFunc) {
		observers.OnValue(func(_ *core.Walker, v *ast.Value) {
			if v.Definition == nil || v.Definition.Name != "Time" || v.Kind == ast.Variable || v.Kind == ast.NullValue {
				return
			}
			if v.Kind != ast.StringValue || !isInstant(v.Raw) {
				addError(core.Message("%.40s is no Time: %s.", v.String(), wantedTime), core.At(v.Position))
			}
		})
	})
	return r
}()

func isInstant(text string) bool {
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}

// checkScalars refuses a variable, or a part of one, that is of its type by its form alone: a Time that is none, and an Int
// beyond 32 bits. place leads to it, such as "$in.expiresAt".
func (h *Handler) checkScalars(t *ast.Type, place string, value any) error {
	list, isList := value.([]any)
	object, isObject := value.(map[string]any)
	switch def := h.schema.Types[t.Name()]; {
	case value == nil || def == nil:
	case t.Elem != nil && isList:
		for i, item := range list {
			if err := h.checkScalars(t.Elem, fmt.Sprintf("%s[%d]", place, i), item); err != nil {
				return err
			}
		}
	case isObject && def.Kind == ast.InputObject:
		for _, f := range def.Fields {
			if err := h.checkScalars(f.Type, place+"."+f.Name, object[f.Name]); err != nil {
				return err
			}
		}
	case def.Name == "Time":
		if text, ok := value.(string); !ok || !isInstant(text) {
			return wrongVariable(place, wantedTime)
		}
	case def.Name == "Int":
		_, isText := value.(string)
		if n, err := strconv.ParseFloat(fmt.Sprint(value), 64); isText || err != nil || n < math.MinInt32 || n > math.MaxInt32 {
			return wrongVariable(place, "give a whole number of 32 bits")
		}
	}
	return nil
}

func wrongVariable(place, wanted string) error {
	return fault.New(fault.Invalid, "invalid_variable", "The variable "+place+" does not fit its type: "+wanted+".")
}
