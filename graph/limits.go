package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/portico-sso/portico/core/fault"
)

// What one request may ask for. Everything is judged before the document is validated, since validation itself is what
// some hostile documents aim at.
const (
	maxBody          = 1 << 20 // bytes of the request
	maxTokens        = 2500    // lexical tokens of the document
	maxDepth         = 12      // fields inside each other
	maxSchemaDepth   = 20      // the same below __schema and __type: type references are chains
	maxCost          = 5000    // fields of the answer, lists counted as long as they may get
	maxAliases       = 30
	maxDirectives    = 30
	maxOverlaps      = 5000 // pairs of fields of one name, which validation compares with each other
	maxVariables     = 50
	maxVariableDepth = 10

	defaultPage     = 20
	maxPage         = 100
	shortList       = 5   // what a list that is no page counts as: certificates, errors
	schemaFieldCost = 10  // of a field below __schema and __type, where lists are as long as our schema has them
	countCost       = 10  // of counting a whole listing
	walkCost        = 20  // of a page for which the groups around something are walked through
	scanCost        = 200 // of a page for which a whole directory may be looked at, or a whole group
)

// parse reads a document and refuses one that is over a limit.
func parse(text string, variables map[string]any, pages map[string]bool) (*ast.QueryDocument, error) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil {
		return nil, syntaxFault(err)
	}
	if len(doc.Operations) == 0 {
		return nil, fault.New(fault.Invalid, "no_operation", "The document holds no operation.")
	}
	m := meter{pages: pages, variables: variables, fragments: map[string]*measured{}, doc: doc}
	for _, op := range doc.Operations {
		if err := m.operation(op); err != nil {
			return nil, err
		}
	}
	for _, f := range doc.Fragments { // those that no operation spreads may still be cycles
		if _, err := m.fragment(f.Name); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

func syntaxFault(err error) error {
	var at *gqlerror.Error
	if !errors.As(err, &at) {
		return fault.Wrap(err, fault.Invalid, "syntax", "The document is not GraphQL.")
	}
	if strings.HasPrefix(at.Message, "exceeded token limit") {
		return fault.Wrap(err, fault.TooLarge, "too_many_tokens", fmt.Sprintf("The document has more than %d tokens.", maxTokens))
	}
	if strings.HasPrefix(at.Message, "exceeded maximum nesting depth") {
		return tooDeep
	}
	return at
}

var tooDeep = fault.New(fault.TooLarge, "too_deep", fmt.Sprintf("Fields may stand %d deep inside each other, and no deeper.", maxDepth))

// size is what a selection set asks for, fragments included.
type size struct {
	depth     int
	cost      int
	items     int // cost of one item of the page, apart from cost
	typeLists int // lists of types' parts inside each other, in introspection
}

func (s *size) add(o size) {
	s.depth = max(s.depth, o.depth)
	s.cost = min(s.cost+o.cost, maxCost+1)
	s.items = min(s.items+o.items, maxCost+1)
	s.typeLists = max(s.typeLists, o.typeLists)
}

// measured is a fragment's size, so that a fragment is walked once however often it is spread.
type measured struct {
	size
	done bool
}

type meter struct {
	doc        *ast.QueryDocument
	pages      map[string]bool // fields with an argument first
	variables  map[string]any
	defaults   ast.VariableDefinitionList // of the operation that is being measured
	fragments  map[string]*measured
	aliases    int
	directives int
}

func (m *meter) operation(op *ast.OperationDefinition) error {
	if len(op.VariableDefinitions) > maxVariables {
		return fault.New(fault.TooLarge, "too_many_variables", fmt.Sprintf("An operation has at most %d variables.", maxVariables))
	}
	if err := m.countDirectives(op.Directives); err != nil {
		return err
	}
	m.defaults = op.VariableDefinitions
	total, err := m.selections(op.SelectionSet)
	if err != nil {
		return err
	}
	return total.check()
}

func (s size) check() error {
	if s.depth > maxDepth {
		return tooDeep
	}
	if s.cost > maxCost {
		return fault.New(fault.TooLarge, "too_costly", fmt.Sprintf(
			"The answer could hold more than %d fields. Ask for fewer items (first) or for fewer fields of each.", maxCost))
	}
	return nil
}

func (m *meter) selections(set ast.SelectionSet) (size, error) {
	var total size
	for _, s := range set {
		var part size
		var err error
		switch s := s.(type) {
		case *ast.Field:
			part, err = m.field(s)
		case *ast.InlineFragment:
			if err = m.countDirectives(s.Directives); err == nil {
				part, err = m.selections(s.SelectionSet)
			}
		case *ast.FragmentSpread:
			if err = m.countDirectives(s.Directives); err == nil {
				part, err = m.fragment(s.Name)
			}
		}
		if err != nil {
			return total, err
		}
		total.add(part)
	}
	return total, nil
}

func (m *meter) fragment(name string) (size, error) {
	if f, ok := m.fragments[name]; ok {
		if !f.done {
			return size{}, fault.New(fault.Invalid, "fragment_cycle", "The fragment "+name+" contains itself.")
		}
		return f.size, nil
	}
	f := &measured{}
	m.fragments[name] = f
	def := m.doc.Fragments.ForName(name)
	if def == nil { // for validation to refuse
		f.done = true
		return size{}, nil
	}
	if err := m.countDirectives(def.Directives); err != nil {
		return size{}, err
	}
	total, err := m.selections(def.SelectionSet)
	f.size, f.done = total, true
	return total, err
}

func (m *meter) field(f *ast.Field) (size, error) {
	if f.Alias != f.Name {
		m.aliases++
	}
	if m.aliases > maxAliases {
		return size{}, fault.New(fault.TooLarge, "too_many_aliases", fmt.Sprintf("A document has at most %d aliases.", maxAliases))
	}
	if err := m.countDirectives(f.Directives); err != nil {
		return size{}, err
	}
	below, err := m.selections(f.SelectionSet)
	if err != nil {
		return size{}, err
	}
	switch f.Name {
	case "__schema", "__type":
		return below.ofSchema()
	case "fields", "inputFields", "interfaces", "possibleTypes":
		below.typeLists++
	}
	whole := size{depth: below.depth + 1, typeLists: below.typeLists}
	switch {
	case m.pages[f.Name]:
		whole.cost = 1 + searching(f) + below.cost + m.pageLength(f)*below.items
	case f.Name == "edges" || f.Name == "nodes":
		whole.items = 1 + below.cost
	case shortLists[f.Name]:
		whole.cost = 1 + shortList*below.cost
	case f.Name == "findIdentities":
		whole.cost = 1 + maxPage*below.cost
	case f.Name == "totalCount":
		whole.cost = countCost
	default:
		whole.cost = 1 + below.cost
	}
	whole.cost = min(whole.cost, maxCost+1)
	return whole, nil
}

// searching is what finding the items of a page costs where no index has them.
func searching(f *ast.Field) int {
	switch {
	case f.Name == "effectiveMembers" || f.Arguments.ForName("filter") != nil:
		return scanCost
	case f.Arguments.ForName("effective") != nil:
		return walkCost
	}
	return 0
}

// ofSchema is the size of a question about the schema. Its lists are as long as our schema is, so what multiplies is
// only asking for the fields of the types of fields, and nobody needs that.
func (s size) ofSchema() (size, error) {
	if s.depth >= maxSchemaDepth {
		return s, fault.New(fault.TooLarge, "too_deep", fmt.Sprintf("Introspection may stand %d deep, and no deeper.", maxSchemaDepth))
	}
	if s.typeLists > 1 {
		return s, fault.New(fault.TooLarge, "too_deep", "Introspection may not ask for the fields of the types of fields.")
	}
	return size{depth: 1, cost: min(1+schemaFieldCost*s.cost, maxCost+1)}, nil
}

// shortLists are the fields that are lists and no pages.
var shortLists = map[string]bool{"certificates": true, "errors": true, "credentials": true}

// pageLength is the most items that a page can have. What is out of bounds is refused by its resolver.
func (m *meter) pageLength(f *ast.Field) int {
	arg := f.Arguments.ForName("first")
	if arg == nil || arg.Value == nil {
		return defaultPage
	}
	n, ok := number(arg.Value)
	if arg.Value.Kind == ast.Variable {
		n, ok = m.variable(arg.Value.Raw)
	}
	if !ok {
		return defaultPage
	}
	return max(1, min(n, maxPage))
}

// variable is the number a variable holds. A fragment is measured once for all operations, so a default that any of
// them declares could count: the page is then taken to be as long as it may get.
func (m *meter) variable(name string) (int, bool) {
	if v, ok := m.variables[name]; ok {
		n, ok := v.(float64)
		return int(max(0, min(n, maxPage))), ok
	}
	if len(m.doc.Operations) > 1 || m.defaults == nil {
		return maxPage, true
	}
	def := m.defaults.ForName(name)
	if def == nil || def.DefaultValue == nil {
		return 0, false
	}
	return number(def.DefaultValue)
}

func number(v *ast.Value) (int, bool) {
	if v.Kind != ast.IntValue {
		return 0, false
	}
	n, err := strconv.Atoi(v.Raw)
	if err != nil {
		return maxPage, true // does not fit a number: for validation to refuse
	}
	return n, true
}

func (m *meter) countDirectives(list ast.DirectiveList) error {
	if m.directives += len(list); m.directives > maxDirectives {
		return fault.New(fault.TooLarge, "too_many_directives", fmt.Sprintf("A document has at most %d directives.", maxDirectives))
	}
	return nil
}

// readVariables reads the JSON object of variables, which may be absent.
func readVariables(raw json.RawMessage) (map[string]any, error) {
	var variables map[string]any
	if len(raw) == 0 {
		return variables, nil
	}
	if err := json.Unmarshal(raw, &variables); err != nil {
		return nil, fault.New(fault.Invalid, "bad_request", "The variables must be a JSON object.")
	}
	for _, v := range variables {
		if !shallow(v, maxVariableDepth) {
			return nil, fault.New(fault.TooLarge, "too_deep", fmt.Sprintf("A variable may nest %d deep, and no deeper.", maxVariableDepth))
		}
	}
	return variables, nil
}

func shallow(v any, levels int) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			if levels == 0 || !shallow(item, levels-1) {
				return false
			}
		}
	case []any:
		for _, item := range v {
			if levels == 0 || !shallow(item, levels-1) {
				return false
			}
		}
	}
	return true
}
