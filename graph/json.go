package graph

import (
	"encoding/json"
	"errors"
)

// jsonValue is the scalar JSON.
type jsonValue struct{ json.RawMessage }

// ImplementsGraphQLType says which scalar this is.
func (jsonValue) ImplementsGraphQLType(name string) bool { return name == "JSON" }

// UnmarshalGraphQL takes a value of a document or of a variable.
func (v *jsonValue) UnmarshalGraphQL(input any) error {
	raw, err := json.Marshal(input)
	if err != nil {
		return errors.New("not a value of JSON")
	}
	v.RawMessage = raw
	return nil
}

// MarshalJSON is null where there is nothing.
func (v jsonValue) MarshalJSON() ([]byte, error) {
	if len(v.RawMessage) == 0 {
		return []byte("null"), nil
	}
	return v.RawMessage, nil
}

// raw is nil for an argument that is not given.
func (v *jsonValue) raw() json.RawMessage {
	if v == nil {
		return nil
	}
	return v.RawMessage
}

func optionalJSON(raw json.RawMessage) *jsonValue {
	if len(raw) == 0 {
		return nil
	}
	return &jsonValue{raw}
}
