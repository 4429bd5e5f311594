package google

import "github.com/portico-sso/portico/ports/directory"

// Extension is the schema of what SCIM has no attribute for, in the resource of a user: orgUnitPath.
const Extension = "urn:portico:params:scim:schemas:extension:google:2.0:User"

const (
	coreUser   = "urn:ietf:params:scim:schemas:core:2.0:User"
	coreGroup  = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// userResource says in SCIM's words what Google says of a user.
func userResource(u directory.User) map[string]any {
	r := map[string]any{"schemas": []string{coreUser}, "externalId": u.ID, "userName": u.UserName, "active": u.Active, "emails": emails(u)}
	if name := texts("givenName", u.GivenName, "familyName", u.FamilyName); len(name) > 0 {
		r["name"] = name
	}
	if u.Title != "" {
		r["title"] = u.Title
	}
	if phones := values(u.Phones); len(phones) > 0 {
		r["phoneNumbers"] = phones
	}
	for urn, extension := range map[string]map[string]any{
		enterprise: texts("department", u.Department, "costCenter", u.CostCenter, "employeeNumber", u.Employee),
		Extension:  texts("orgUnitPath", u.OrgUnit),
	} {
		if len(extension) > 0 {
			r[urn] = extension
		}
	}
	return r
}

// emails has the primary address first, whatever the list of the others says.
func emails(u directory.User) []any {
	all := []directory.Value{{Value: u.UserName, Type: "work", Primary: true}}
	for _, e := range u.Emails {
		if e.Value != u.UserName {
			all = append(all, directory.Value{Value: e.Value, Type: e.Type})
		}
	}
	return values(all)
}

func values(list []directory.Value) []any {
	out := []any{}
	primary := false
	for _, v := range list {
		if v.Value == "" {
			continue
		}
		one := texts("value", v.Value, "type", v.Type)
		if v.Primary && !primary {
			one["primary"], primary = true, true
		}
		out = append(out, one)
	}
	return out
}

// texts leaves out what is empty.
func texts(pairs ...string) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			m[pairs[i]] = pairs[i+1]
		}
	}
	return m
}

func groupResource(g directory.Group, members []any) map[string]any {
	name := g.Name
	if name == "" {
		name = g.Email
	}
	r := map[string]any{"schemas": []string{coreGroup}, "externalId": g.ID, "displayName": name}
	if len(members) > 0 {
		r["members"] = members
	}
	return r
}
