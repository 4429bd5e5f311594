package scim

var common = []Attribute{}

// The schemas of RFC 7643 §8.7.1.
var (
	UserSchema       = newSchema(Schema{ID: UserURN, Name: "User"})
	EnterpriseSchema = newSchema(Schema{ID: EnterpriseURN, Name: "EnterpriseUser"})
	GroupSchema      = newSchema(Schema{ID: GroupURN, Name: "Group"})
)

// The resource types of RFC 7643 §6.
var (
	User = newResourceType(ResourceType{Name: "User", Endpoint: "/Users", Description: "A person.",
		Schema: UserSchema, Extensions: []*Schema{EnterpriseSchema}})
	Group = newResourceType(ResourceType{Name: "Group", Endpoint: "/Groups", Description: "A group of users and groups.",
		Schema: GroupSchema})
)
