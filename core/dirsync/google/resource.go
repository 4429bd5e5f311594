package google

import (
	"maps"
	"net/url"

	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/ports/directory"
)

// Extension is the schema of what SCIM has no attribute for, in the resource of a user: orgUnitPath, buildingId, floorName,
// floorSection, deskCode, and archived where that is so.
const Extension = "urn:portico:params:scim:schemas:extension:google:2.0:User"

const (
	coreUser   = "urn:ietf:params:scim:schemas:core:2.0:User"
	coreGroup  = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// userResource says in SCIM's words what Google says of a user. manager is the id of a user here, or "".
func userResource(u directory.User, manager string) map[string]any {
	r := texts("displayName", u.DisplayName, "title", u.Title, "userType", u.Kind, "preferredLanguage", u.Language, "profileUrl", webAddress(u.Website))
	maps.Copy(r, map[string]any{"schemas": []string{coreUser}, "externalId": u.ID, "userName": u.UserName, "active": u.Active, "emails": emails(u)})
	own := texts("orgUnitPath", u.OrgUnit, "buildingId", u.Desk.Building, "floorName", u.Desk.Floor, "floorSection", u.Desk.Section, "deskCode", u.Desk.Code)
	if u.Archived {
		own["archived"] = true
	}
	employer := texts("organization", u.Organization, "department", u.Department, "costCenter", u.CostCenter, "employeeNumber", u.Employee)
	if manager != "" {
		employer["manager"] = texts("value", manager)
	}
	for name, part := range map[string]map[string]any{"name": texts("givenName", u.GivenName, "familyName", u.FamilyName, "formatted", u.FullName), enterprise: employer, Extension: own} {
		if len(part) > 0 {
			r[name] = part
		}
	}
	for name, list := range map[string][]any{"phoneNumbers": values(u.Phones), "ims": values(u.Messengers), "addresses": addresses(u.Addresses)} {
		if len(list) > 0 {
			r[name] = list
		}
	}
	return r
}

// webAddress is an address of the web, or "": people write all kinds of things where Google asks for one.
func webAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return text
}

func addresses(list []directory.Address) []any {
	out := []any{}
	primary := false
	for _, a := range list {
		one := texts("formatted", a.Formatted, "streetAddress", a.Street, "locality", a.Locality, "region", a.Region, "postalCode", a.PostalCode, "country", a.Country)
		if len(one) == 0 {
			continue
		}
		maps.Copy(one, texts("type", a.Type))
		if a.Primary && !primary {
			one["primary"], primary = true, true
		}
		out = append(out, one)
	}
	return out
}

// mailboxOf are the addresses by which others name a user, in one case: those that Google gives to nobody else.
func mailboxOf(u directory.User) []string {
	all := []string{key.Lower(u.UserName)}
	for _, a := range u.Aliases {
		all = append(all, key.Lower(a))
	}
	return all
}

// emails has the primary address first, whatever the list of the others says.
func emails(u directory.User) []any {
	all := []directory.Value{{Value: u.UserName, Type: "work", Primary: true}}
	there := map[string]bool{u.UserName: true}
	add := func(address, kind string) {
		if !there[address] {
			there[address] = true
			all = append(all, directory.Value{Value: address, Type: kind})
		}
	}
	for _, e := range u.Emails {
		add(e.Value, e.Type)
	}
	for _, a := range u.Aliases {
		add(a, "")
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
