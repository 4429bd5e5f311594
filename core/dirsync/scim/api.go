package scim

import "encoding/json"

// Read parses a resource as a client sends it to create or replace one.
func (t *ResourceType) Read(body []byte) (Resource, error) { panic("soon") }

// Operator of a comparison.
type Operator uint8

// The operators of RFC 7644 §3.4.2.2.
const (
	EQ Operator = iota
	NE
	CO
	SW
	EW
	GT
	GE
	LT
	LE
	PR
)

// Path names an attribute in the schema's spelling.
type Path struct {
	URN       string // of the extension; "" for the core schema
	Attribute string // "" for the extension as a whole
	Sub       string // sub-attribute, or ""
	Filter    Expr   // of a value path; nil for all values

	attr, sub *Attribute // nil in an extension without a schema
}

// String is the path as a client would write it: "emails.value", "urn:…:User:department".
func (p Path) String() string { panic("soon") }

func parsePath(t *ResourceType, s string) (Path, *Error) { panic("soon") }

// Expr is a part of a filter: *And, *Or, *Not, *Comparison or *ValuePath.
type Expr interface{ match(r map[string]any) bool }

// The parts of a filter.
type (
	And        struct{ Left, Right Expr }
	Or         struct{ Left, Right Expr }
	Not        struct{ Of Expr }
	Comparison struct {
		Path  Path
		Op    Operator
		Value any // string, json.Number, bool or nil
	}
	ValuePath struct {
		Path Path // of a multi-valued attribute
		Of   Expr // over its sub-attributes
	}
)

func (e *And) match(r map[string]any) bool        { panic("soon") }
func (e *Or) match(r map[string]any) bool         { panic("soon") }
func (e *Not) match(r map[string]any) bool        { panic("soon") }
func (e *Comparison) match(r map[string]any) bool { panic("soon") }
func (e *ValuePath) match(r map[string]any) bool  { panic("soon") }

// Filter is a parsed filter.
type Filter struct{ Root Expr }

// ParseFilter reads a filter of RFC 7644 §3.4.2.2. An error is 400 invalidFilter.
func ParseFilter(t *ResourceType, s string) (*Filter, error) { panic("soon") }

// Match reports whether a resource fits. The resource has its id and meta.
func (f *Filter) Match(r Resource) bool { return f.Root.match(r) }

// Equal gives the value that the attribute at path ("userName", "emails.value") has in every match: `path eq "value"`
// alone or under and.
func (f *Filter) Equal(path string) (value string, ok bool) { panic("soon") }

// AnyOf is Equal for alternatives: every match has one of the values there.
func (f *Filter) AnyOf(path string) (values []string, ok bool) { panic("soon") }

// Prefix gives the text with which the attribute at path begins in every match.
func (f *Filter) Prefix(path string) (value string, ok bool) { panic("soon") }

// Bounds gives the values between which, inclusive, the attribute at path is in every match; "" is no bound.
func (f *Filter) Bounds(path string) (from, to string, ok bool) { panic("soon") }

// Single reports whether the filter is one comparison alone, so that what Equal or Prefix says of it is all of it.
func (f *Filter) Single() bool { panic("soon") }

// Operation is one change of a PATCH, RFC 7644 §3.5.2.
type Operation struct {
	Op    string          // add, remove or replace, in lower case
	Path  string          // "" for the resource itself
	Value json.RawMessage // nil where there is none
}

// ReadPatch parses the body of a PATCH.
func ReadPatch(body []byte) ([]Operation, error) { panic("soon") }

// Patch applies operations to r, all or none, and reports whether r is another than before. The members of a group are
// not its business: see SplitMembers.
func (t *ResourceType) Patch(r Resource, ops []Operation) (changed bool, err error) { panic("soon") }

// Member is a member of a group. Type is "User", "Group" or "" where the client did not say.
type Member struct{ Value, Type, Display string }

// MemberKind says what a MemberChange does.
type MemberKind uint8

// What a change of members does.
const (
	AddMembers     MemberKind = iota // Members join
	RemoveMembers                    // Members leave; where Filter is set, those it matches
	ReplaceMembers                   // Members are the members from now on
	ClearMembers                     // nobody is left
)

// MemberChange is one change of the members of a group.
type MemberChange struct {
	Kind    MemberKind
	Members []Member
	Filter  *Filter // over members' sub-attributes: value, type, display
}

// Match reports whether a removal by filter concerns a member.
func (c MemberChange) Match(m Member) bool { panic("soon") }

// SplitMembers parts the PATCH of a group into what concerns its members, in order, and the rest.
func SplitMembers(ops []Operation) (rest []Operation, members []MemberChange, err error) {
	panic("soon")
}

// Members takes the members out of a group that Read made: r has none afterwards.
func Members(r Resource) []Member { panic("soon") }

// Projection says which attributes an answer has, RFC 7644 §3.9.
type Projection struct{}

// ParseProjection reads the parameters attributes and excludedAttributes, each name an element.
func ParseProjection(t *ResourceType, attributes, excluded []string) (Projection, error) {
	panic("soon")
}

// Apply gives the resource as the answer shows it; r stays as it is, and both share values.
func (p Projection) Apply(r Resource) Resource { panic("soon") }

// Wants reports whether the answer shows an attribute, or a part of it.
func (p Projection) Wants(attribute string) bool { panic("soon") }

// Order is how a list is sorted, RFC 7644 §3.4.2.3.
type Order struct {
	Path       Path
	Descending bool
}

// ParseOrder reads the parameter sortBy. An error is 400 invalidPath.
func ParseOrder(t *ResourceType, sortBy string, descending bool) (*Order, error) { panic("soon") }

// Key is the text by which a resource is sorted: Keys compare as Compare says. It lets a caller keep keys rather than
// resources.
func (o *Order) Key(r Resource) string { panic("soon") }

// Compare orders two keys, negative where a comes first.
func (o *Order) Compare(a, b string) int { panic("soon") }

// Less makes the comparator of a sortBy.
func Less(t *ResourceType, sortBy string, descending bool) (func(a, b Resource) bool, error) {
	panic("soon")
}

// Equal reports whether two resources say the same: the order of values and the spelling of numbers do not matter.
func Equal(a, b Resource) bool { panic("soon") }

// Provider is what a service provider says of itself, RFC 7643 §5.
type Provider struct {
	Documentation                      string
	BulkOperations, BulkBytes          int // 0 operations: no bulk
	MaxResults                         int
	Sort, ETag, ChangePassword, Cursor bool
	DefaultPage, MaxPage               int // of a cursor, RFC 9865
	CursorSeconds                      int
}

// Schemas are the schemas as /Schemas lists them; base is the URL before "/Schemas".
func Schemas(base string) []Resource { panic("soon") }

// ResourceTypes are the resource types as /ResourceTypes lists them.
func ResourceTypes(base string) []Resource { panic("soon") }

// Config is the answer of /ServiceProviderConfig.
func (p Provider) Config(base string) Resource { panic("soon") }
