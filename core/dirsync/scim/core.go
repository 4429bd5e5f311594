package scim

// What follows is RFC 7643 §8.7.1 as data, with the attributes of every resource (§3.1) apart.

var common = []Attribute{
	{Name: "schemas", Type: Reference, MultiValued: true, Required: true, Returned: Always, ReferenceTypes: []string{"uri"},
		Description: "The URNs of the schemas that this resource has attributes of."},
	{Name: "id", Required: true, CaseExact: true, Mutability: ReadOnly, Returned: Always, Uniqueness: Server,
		Description: "The id of the resource, given by the service."},
	{Name: "externalId", CaseExact: true, limit: MaxName,
		Description: "The id of the resource at the client."},
	{Name: "meta", Type: Complex, Mutability: ReadOnly, Description: "What the service knows about the resource.", Sub: []Attribute{
		{Name: "resourceType", CaseExact: true, Mutability: ReadOnly, Description: "The name of the resource type."},
		{Name: "created", Type: DateTime, Mutability: ReadOnly, Description: "When the resource was made."},
		{Name: "lastModified", Type: DateTime, Mutability: ReadOnly, Description: "When the resource last changed."},
		{Name: "location", Type: Reference, CaseExact: true, Mutability: ReadOnly, ReferenceTypes: []string{"uri"},
			Description: "The URL of the resource."},
		{Name: "version", CaseExact: true, Mutability: ReadOnly, Description: "The version, as an entity tag."},
	}},
}

// The schemas.
var (
	UserSchema = newSchema(Schema{ID: UserURN, Name: "User", Description: "User Account", Attributes: []Attribute{
		{Name: "userName", Required: true, Uniqueness: Server, limit: MaxName,
			Description: "The name by which the person signs in, unique in its directory."},
		{Name: "name", Type: Complex, Description: "The parts of the person's name.", Sub: []Attribute{
			{Name: "formatted", Description: "The full name, ready for display."},
			{Name: "familyName", Description: "The family name."},
			{Name: "givenName", Description: "The given name."},
			{Name: "middleName", Description: "The middle names."},
			{Name: "honorificPrefix", Description: "A title before the name."},
			{Name: "honorificSuffix", Description: "A suffix behind the name."},
		}},
		{Name: "displayName", limit: MaxName, Description: "The name to show to others."},
		{Name: "nickName", Description: "The casual name."},
		{Name: "profileUrl", Type: Reference, CaseExact: true, ReferenceTypes: []string{"external"},
			Description: "The URL of the person's profile page."},
		{Name: "title", Description: "The job title."},
		{Name: "userType", Description: "The relation between person and organization, such as employee or contractor."},
		{Name: "preferredLanguage", Description: "The languages the person prefers, as in Accept-Language."},
		{Name: "locale", Description: "Where numbers, dates and currencies are to look familiar, such as en-US."},
		{Name: "timezone", check: isTimeZone, CanonicalValues: timeZones, Description: "The person's time zone, a name of the IANA database such as Europe/Berlin."},
		{Name: "active", Type: Boolean, Description: "Whether the person may sign in. Unset is no."},
		{Name: "password", CaseExact: true, Mutability: WriteOnly, Returned: Never, limit: MaxName,
			Description: "A password to sign in with. It is never shown."},
		values("emails", "Email addresses.", Attribute{limit: MaxName}, "work", "home", "other"),
		values("phoneNumbers", "Phone numbers.", Attribute{}, "work", "home", "mobile", "fax", "pager", "other"),
		values("ims", "Accounts for instant messages.", Attribute{}, "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
		values("photos", "URLs of photos.", Attribute{Type: Reference, CaseExact: true, ReferenceTypes: []string{"external"}},
			"photo", "thumbnail"),
		{Name: "addresses", Type: Complex, MultiValued: true, Description: "Postal addresses.", Sub: []Attribute{
			{Name: "formatted", Description: "The whole address, ready for display."},
			{Name: "streetAddress", Description: "Street, house and flat."},
			{Name: "locality", Description: "City or town."},
			{Name: "region", Description: "State or region."},
			{Name: "postalCode", Description: "Postal code."},
			{Name: "country", Description: "Country, as the two letters of ISO 3166-1."},
			{Name: "type", CanonicalValues: []string{"work", "home", "other"}, Description: "What the address is for."},
			primary,
		}},
		{Name: "groups", Type: Complex, MultiValued: true, Mutability: ReadOnly,
			Description: "The groups of which the person is a direct member. Change the members of a group instead.", Sub: []Attribute{
				{Name: "value", CaseExact: true, Mutability: ReadOnly, Description: "The id of the group."},
				{Name: "$ref", Type: Reference, CaseExact: true, Mutability: ReadOnly, ReferenceTypes: []string{"Group"},
					Description: "The URL of the group."},
				{Name: "display", Mutability: ReadOnly, Description: "The name of the group."},
				{Name: "type", Mutability: ReadOnly, CanonicalValues: []string{"direct", "indirect"}, Description: "How the person is a member."},
			}},
		values("entitlements", "What the person is entitled to.", Attribute{}),
		values("roles", "The person's roles.", Attribute{}),
		values("x509Certificates", "Certificates of the person, DER in base64.", Attribute{Type: Binary, CaseExact: true}),
	}})

	EnterpriseSchema = newSchema(Schema{ID: EnterpriseURN, Name: "EnterpriseUser", Description: "Enterprise User",
		Attributes: []Attribute{
			{Name: "employeeNumber", Description: "The number of the person in the organization."},
			{Name: "costCenter", Description: "The cost center."},
			{Name: "organization", Description: "The organization."},
			{Name: "division", Description: "The division."},
			{Name: "department", Description: "The department."},
			{Name: "manager", Type: Complex, Description: "The person's manager.", Sub: []Attribute{
				{Name: "value", CaseExact: true, Description: "The id of the manager."},
				{Name: "$ref", Type: Reference, CaseExact: true, ReferenceTypes: []string{"User"}, Description: "The URL of the manager."},
				{Name: "displayName", Mutability: ReadOnly, Description: "The manager's name."},
			}},
		}})

	GroupSchema = newSchema(Schema{ID: GroupURN, Name: "Group", Description: "Group", Attributes: []Attribute{
		{Name: "displayName", Required: true, Uniqueness: Server, limit: MaxName, Description: "The name of the group, unique in its directory."},
		{Name: "members", Type: Complex, MultiValued: true, Description: "The members of the group.", Sub: []Attribute{
			{Name: "value", CaseExact: true, Mutability: Immutable, limit: MaxName, Description: "The id of the user or group."},
			{Name: "$ref", Type: Reference, CaseExact: true, Mutability: Immutable, ReferenceTypes: []string{"User", "Group"},
				Description: "The URL of the member."},
			{Name: "display", Mutability: Immutable, Description: "The name of the member."},
			{Name: "type", Mutability: Immutable, CanonicalValues: []string{"User", "Group"}, only: true,
				Description: "What the member is."},
		}},
	}})
)

// The resource types.
var (
	User = newResourceType(ResourceType{Name: "User", Endpoint: "/Users", Description: "User Account",
		Schema: UserSchema, Extensions: []*Schema{EnterpriseSchema}})
	Group = newResourceType(ResourceType{Name: "Group", Endpoint: "/Groups", Description: "Group",
		Schema: GroupSchema})
)

var primary = Attribute{Name: "primary", Type: Boolean, Description: "Whether this is the preferred one; at most one is."}

// values is a multi-valued attribute with the sub-attributes of RFC 7643 §2.4; value gives the characteristics of "value".
func values(name, description string, value Attribute, types ...string) Attribute {
	value.Name, value.Description = "value", "The value itself."
	return Attribute{Name: name, Type: Complex, MultiValued: true, Description: description, Sub: []Attribute{
		value,
		{Name: "display", Description: "The value as people read it."},
		{Name: "type", CanonicalValues: types, Description: "What the value is for."},
		primary,
	}}
}

// timeZones are some names of the IANA database, for those who offer a choice: any other of its names is taken as well.
var timeZones = []string{"UTC", "Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "America/Bogota", "America/Chicago",
	"America/Denver", "America/Los_Angeles", "America/Mexico_City", "America/New_York", "America/Sao_Paulo", "America/Toronto", "Asia/Dubai",
	"Asia/Hong_Kong", "Asia/Jakarta", "Asia/Kolkata", "Asia/Seoul", "Asia/Shanghai", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney",
	"Europe/Amsterdam", "Europe/Berlin", "Europe/Istanbul", "Europe/London", "Europe/Madrid", "Europe/Paris", "Europe/Rome", "Europe/Stockholm",
	"Europe/Warsaw", "Pacific/Auckland"}
