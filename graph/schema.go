package graph

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

//go:embed schema/*.graphqls
var schemaFiles embed.FS

// schemaText is the whole schema: one file per module of core, and what they share.
func schemaText() (string, error) {
	names, err := fs.Glob(schemaFiles, "schema/*.graphqls")
	if err != nil {
		return "", fmt.Errorf("graph: find the schema: %w", err)
	}
	var text strings.Builder
	for _, name := range names {
		part, err := schemaFiles.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("graph: read the schema: %w", err)
		}
		text.Write(part)
		text.WriteByte('\n')
	}
	return text.String(), nil
}

// loadSchema reads the schema for validation, and names the fields that are pages of a listing.
func loadSchema(text string) (*ast.Schema, map[string]bool, error) {
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema", Input: text})
	if err != nil {
		return nil, nil, fmt.Errorf("graph: load the schema: %w", err)
	}
	pages := map[string]bool{}
	for _, t := range schema.Types {
		for _, f := range t.Fields {
			if f.Arguments.ForName("first") != nil {
				pages[f.Name] = true
			}
		}
	}
	return schema, pages, nil
}
