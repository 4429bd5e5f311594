package scim

import (
	"fmt"
	"strings"
	"testing"
)

// change is one PATCH: what is there (without userName and schemas), the operations, and what comes of it, or the scimType
// of the refusal, which leaves all as it was.
type change struct {
	from, operations, want string
}

func (c change) run(t *testing.T, kind *ResourceType) {
	t.Helper()
	name := map[*ResourceType]string{User: `"userName":"alice"`, Group: `"displayName":"g"`}[kind]
	full := func(s string) string { return strings.TrimSuffix(`{`+name+`,`+s, ",") + `}` }
	r := read(t, kind, full(c.from))
	before := Clone(r)
	changed, err := patch(r, kind, c.operations)
	if scimType, ok := strings.CutPrefix(c.want, "error "); ok {
		if wantError(t, err, scimType); changed || show(r) != show(before) {
			t.Errorf("%s: refused, but changed %s to %s", c.operations, show(before), show(r))
		}
		return
	}
	want := value(t, full(c.want)).(map[string]any)
	delete(r, "schemas")
	delete(before, "schemas")
	if err != nil || show(r) != show(want) || changed != !Equal(before, want) {
		t.Errorf("%s\nof   %s\ngot  %s\nwant %s\nchanged %v, %v", c.operations, show(before), show(r), show(want), changed, err)
	}
}

func TestPatch(t *testing.T) {
	const ent, dept = `"` + EnterpriseURN + `"`, EnterpriseURN + ":department"
	const mails = `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home"}]`
	const acme = `"urn:acme:2.0:User":{"Badge":"7","tags":["a","b"],"cars":[{"plate":"1","seats":2},{"plate":"2"}],"desk":{"floor":3}}`
	for name, c := range map[string]change{
		// single values
		"add one":                       {`"title":"a"`, `[{"op":"add","path":"title","value":"b"}]`, `"title":"b"`},
		"replace one":                   {`"title":"a"`, `[{"op":"replace","path":"title","value":"b"}]`, `"title":"b"`},
		"replace none":                  {``, `[{"op":"replace","path":"title","value":"b"}]`, `"title":"b"`},
		"replace with the same":         {`"title":"a"`, `[{"op":"replace","path":"title","value":"a"}]`, `"title":"a"`},
		"replace with other case":       {`"title":"a"`, `[{"op":"replace","path":"title","value":"A"}]`, `"title":"A"`},
		"replace with null":             {`"title":"a"`, `[{"op":"replace","path":"title","value":null}]`, ``},
		"replace with nothing":          {`"title":"a"`, `[{"op":"replace","path":"title","value":""}]`, `"title":""`},
		"remove one":                    {`"title":"a","nickName":"n"`, `[{"op":"remove","path":"title"}]`, `"nickName":"n"`},
		"remove what is not there":      {`"title":"a"`, `[{"op":"remove","path":"nickName"},{"op":"remove","path":"emails[type eq \"work\"]"},{"op":"remove","path":"name.givenName"}]`, `"title":"a"`},
		"remove, with a value":          {`"title":"a"`, `[{"op":"Remove","path":"title","value":"a"}]`, ``},
		"there and back":                {`"title":"a"`, `[{"op":"replace","path":"title","value":"b"},{"op":"replace","path":"title","value":"a"}]`, `"title":"a"`},
		"ops and paths in any case":     {``, `[{"OP":"ADD","PATH":"TITLE","VALUE":"b"},{"op":"rePlace","path":"NAME.givenname","value":"g"}]`, `"title":"b","name":{"givenName":"g"}`},
		"a qualified path":              {``, `[{"op":"add","path":"urn:ietf:params:scim:schemas:core:2.0:user:title","value":"b"}]`, `"title":"b"`},
		"a boolean as text":             {``, `[{"op":"add","path":"active","value":"False"}]`, `"active":false`},
		"unknown parts of an operation": {``, `[{"op":"add","path":"title","value":"b","name":"x","id":[1]}]`, `"title":"b"`},

		// complex values
		"merge a name":                {`"name":{"givenName":"a","familyName":"b"}`, `[{"op":"replace","path":"name","value":{"givenName":"c","middleName":"m"}}]`, `"name":{"givenName":"c","familyName":"b","middleName":"m"}`},
		"add to a name":               {`"name":{"givenName":"a"}`, `[{"op":"add","path":"name","value":{"familyName":"b"}}]`, `"name":{"givenName":"a","familyName":"b"}`},
		"null in a name":              {`"name":{"givenName":"a","familyName":"b"}`, `[{"op":"replace","path":"name","value":{"givenName":null}}]`, `"name":{"familyName":"b"}`},
		"a part of a name":            {`"name":{"givenName":"a"}`, `[{"op":"replace","path":"name.familyName","value":"b"}]`, `"name":{"givenName":"a","familyName":"b"}`},
		"a part of no name":           {``, `[{"op":"replace","path":"name.familyName","value":"b"}]`, `"name":{"familyName":"b"}`},
		"remove a part":               {`"name":{"givenName":"a","familyName":"b"}`, `[{"op":"remove","path":"name.familyName"}]`, `"name":{"givenName":"a"}`},
		"remove the last part":        {`"name":{"givenName":"a"}`, `[{"op":"remove","path":"name.givenName"}]`, ``},
		"remove a name":               {`"name":{"givenName":"a"}`, `[{"op":"remove","path":"name"}]`, ``},
		"a name with unknown parts":   {``, `[{"op":"add","path":"name","value":{"givenName":"a","maiden":"m"}}]`, `"name":{"givenName":"a"}`},
		"a name of unknown parts":     {``, `[{"op":"add","path":"name","value":{"maiden":"m"}}]`, `error invalidValue`},
		"a name as text":              {``, `[{"op":"add","path":"name","value":"Alice"}]`, `error invalidValue`},
		"a manager as text":           {ent + `:{"manager":{"value":"a","$ref":"../a"}}`, `[{"op":"add","path":"` + EnterpriseURN + `:manager","value":"b"}]`, ent + `:{"manager":{"value":"b"}}`},
		"a manager as object":         {ent + `:{"manager":{"value":"a"}}`, `[{"op":"replace","path":"` + EnterpriseURN + `:manager","value":{"value":"b","displayName":"B"}}]`, ent + `:{"manager":{"value":"b"}}`},
		"the value of a manager":      {``, `[{"op":"replace","path":"` + EnterpriseURN + `:manager.value","value":"b"}]`, ent + `:{"manager":{"value":"b"}}`},
		"no manager, as text":         {ent + `:{"manager":{"value":"a"}}`, `[{"op":"replace","path":"` + EnterpriseURN + `:manager","value":""}]`, ``},
		"remove a manager":            {ent + `:{"manager":{"value":"a"},"division":"d"}`, `[{"op":"remove","path":"` + EnterpriseURN + `:manager"}]`, ent + `:{"division":"d"}`},
		"the name of a manager":       {``, `[{"op":"replace","path":"` + EnterpriseURN + `:manager.displayName","value":"b"}]`, `error mutability`},
		"an extension":                {ent + `:{"division":"d"}`, `[{"op":"add","path":"` + EnterpriseURN + `","value":{"department":"x"}}]`, ent + `:{"division":"d","department":"x"}`},
		"remove an extension":         {ent + `:{"division":"d"},"title":"t"`, `[{"op":"remove","path":"` + EnterpriseURN + `"}]`, `"title":"t"`},
		"unknown in an extension":     {``, `[{"op":"add","path":"` + EnterpriseURN + `","value":{"shoe":"x"}}]`, `error invalidPath`},
		"an attribute of it":          {``, `[{"op":"add","path":"` + dept + `","value":"x"}]`, ent + `:{"department":"x"}`},
		"remove its last attribute":   {ent + `:{"department":"d"}`, `[{"op":"remove","path":"` + dept + `"}]`, ``},
		"an extension that is a text": {``, `[{"op":"add","path":"` + EnterpriseURN + `","value":"x"}]`, `error invalidValue`},

		// lists
		"add to a list":               {mails, `[{"op":"add","path":"emails","value":[{"value":"o@x","type":"other"}]}]`, mails[:len(mails)-1] + `,{"value":"o@x","type":"other"}]`},
		"add to no list":              {``, `[{"op":"add","path":"emails","value":[{"value":"o@x"}]}]`, `"emails":[{"value":"o@x"}]`},
		"add one object":              {``, `[{"op":"add","path":"emails","value":{"value":"o@x"}}]`, `"emails":[{"value":"o@x"}]`},
		"roles as one text":           {``, `[{"op":"add","path":"roles","value":"admin, staff,,admin"}]`, `"roles":[{"value":"admin"},{"value":"staff"}]`},
		"add a text":                  {``, `[{"op":"add","path":"roles","value":"admin"}]`, `"roles":[{"value":"admin"}]`},
		"add what is there":           {mails, `[{"op":"add","path":"emails","value":[{"value":"h@x","type":"home"}]}]`, mails},
		"add what is there, in short": {mails, `[{"op":"add","path":"emails","value":[{"value":"W@X"},{"value":"h@x"}]}]`, mails},
		"add the same of other type":  {mails, `[{"op":"add","path":"emails","value":{"value":"h@x","type":"other"}}]`, mails[:len(mails)-1] + `,{"value":"h@x","type":"other"}]`},
		"add more about one":          {mails, `[{"op":"add","path":"emails","value":{"value":"h@x","type":"home","display":"Home"}}]`, `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home","display":"Home"}]`},
		"add twice the same":          {``, `[{"op":"add","path":"emails","value":[{"value":"a"},{"value":"A"}]}]`, `"emails":[{"value":"a"}]`},
		"add an empty list":           {mails, `[{"op":"add","path":"emails","value":[]}]`, mails},
		"add an address again":        {`"addresses":[{"locality":"B"}]`, `[{"op":"add","path":"addresses","value":[{"locality":"B"},{"locality":"C"}]}]`, `"addresses":[{"locality":"B"},{"locality":"C"}]`},
		"add what nobody knows":       {``, `[{"op":"add","path":"emails","value":[{"shoe":"x"}]}]`, `error invalidValue`},
		"replace a list":              {mails, `[{"op":"replace","path":"emails","value":[{"value":"n@x"}]}]`, `"emails":[{"value":"n@x"}]`},
		"replace with none":           {mails, `[{"op":"replace","path":"emails","value":[]}]`, ``},
		"replace in another order":    {mails, `[{"op":"replace","path":"emails","value":[{"type":"home","value":"h@x"},{"primary":true,"value":"w@x","type":"work"}]}]`, mails},
		"remove a list":               {mails, `[{"op":"remove","path":"emails"}]`, ``},
		"remove given values":         {mails, `[{"op":"remove","path":"emails","value":[{"value":"H@x"}]}]`, `"emails":[{"value":"w@x","type":"work","primary":true}]`},
		"remove one given value":      {mails, `[{"op":"remove","path":"emails","value":{"value":"h@x","type":"home"}}]`, `"emails":[{"value":"w@x","type":"work","primary":true}]`},
		"remove another type":         {mails, `[{"op":"remove","path":"emails","value":{"value":"h@x","type":"work"}}]`, mails},
		"remove no values":            {mails, `[{"op":"remove","path":"emails","value":[]}]`, mails},
		"remove by null":              {mails, `[{"op":"remove","path":"emails","value":null}]`, ``},
		"remove what nobody knows":    {mails, `[{"op":"remove","path":"emails","value":[{"shoe":"x"}]}]`, `error invalidValue`},
		"a part of all":               {mails, `[{"op":"replace","path":"emails.type","value":"other"}]`, `"emails":[{"value":"w@x","type":"other","primary":true},{"value":"h@x","type":"other"}]`},
		"a part of none":              {``, `[{"op":"replace","path":"emails.value","value":"a@x"}]`, `"emails":[{"value":"a@x"}]`},
		"all to one value":            {`"roles":[{"value":"a"},{"value":"b"}]`, `[{"op":"replace","path":"roles.value","value":"c"}]`, `"roles":[{"value":"c"}]`},
		"remove a part of all":        {mails, `[{"op":"remove","path":"emails.type"}]`, `"emails":[{"value":"w@x","primary":true},{"value":"h@x"}]`},

		// filters
		"a part of one":                    {mails, `[{"op":"replace","path":"emails[type eq \"work\"].value","value":"n@x"}]`, `"emails":[{"value":"n@x","type":"work","primary":true},{"value":"h@x","type":"home"}]`},
		"a part of one, as it is":          {mails, `[{"op":"replace","path":"EMAILS[TYPE EQ \"WORK\"].VALUE","value":"w@x"}]`, mails},
		"replace a chosen one":             {mails, `[{"op":"replace","path":"emails[type eq \"home\"]","value":{"value":"n@x"}}]`, `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"n@x"}]`},
		"replace one, by a list":           {mails, `[{"op":"replace","path":"emails[type eq \"home\"]","value":[{"value":"n@x"}]}]`, `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"n@x"}]`},
		"add to one":                       {mails, `[{"op":"add","path":"emails[type eq \"home\"]","value":{"display":"Home"}}]`, `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home","display":"Home"}]`},
		"replace one by null":              {mails, `[{"op":"replace","path":"emails[type eq \"home\"]","value":null}]`, `"emails":[{"value":"w@x","type":"work","primary":true}]`},
		"remove a chosen one":              {mails, `[{"op":"remove","path":"emails[type eq \"home\" and value ew \"x\"]"}]`, `"emails":[{"value":"w@x","type":"work","primary":true}]`},
		"remove all":                       {mails, `[{"op":"remove","path":"emails[value pr]"}]`, ``},
		"remove a part of one":             {mails, `[{"op":"remove","path":"emails[type eq \"home\"].type"}]`, `"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x"}]`},
		"remove the value of one":          {mails, `[{"op":"remove","path":"emails[type eq \"home\"].value"}]`, `"emails":[{"value":"w@x","type":"work","primary":true}]`},
		"replace the value of one by null": {mails, `[{"op":"replace","path":"emails[type eq \"home\"].value","value":null}]`, `"emails":[{"value":"w@x","type":"work","primary":true}]`},
		"a bracket in a filter":            {`"roles":[{"value":"a]b"}]`, `[{"op":"replace","path":"roles[value eq \"a]b\"].display","value":"d"}]`, `"roles":[{"value":"a]b","display":"d"}]`},
		"create by add":                    {``, `[{"op":"add","path":"emails[type eq \"work\"].value","value":"n@x"}]`, `"emails":[{"type":"work","value":"n@x"}]`},
		"create by replace":                {mails, `[{"op":"replace","path":"phoneNumbers[type eq \"mobile\"].value","value":"1"}]`, mails + `,"phoneNumbers":[{"type":"mobile","value":"1"}]`},
		"create from two":                  {``, `[{"op":"add","path":"emails[type eq \"work\" and primary eq true].value","value":"n@x"}]`, `"emails":[{"type":"work","primary":true,"value":"n@x"}]`},
		"create whole":                     {``, `[{"op":"add","path":"addresses[type eq \"work\"]","value":{"locality":"B"}}]`, `"addresses":[{"type":"work","locality":"B"}]`},
		"create a primary one":             {`"roles":[{"value":"a","type":"x","primary":true}]`, `[{"op":"add","path":"roles[type eq \"y\" and primary eq \"True\"].value","value":"b"}]`, `"roles":[{"value":"a","type":"x","primary":false},{"type":"y","primary":true,"value":"b"}]`},
		"create nothing":                   {``, `[{"op":"replace","path":"emails[type eq \"work\"].value","value":null}]`, ``},
		"create from or":                   {``, `[{"op":"add","path":"emails[type eq \"work\" or type eq \"home\"].value","value":"n@x"}]`, `error noTarget`},
		"create from not":                  {``, `[{"op":"add","path":"emails[not (type eq \"work\")].value","value":"n@x"}]`, `error noTarget`},
		"create from sw":                   {``, `[{"op":"add","path":"emails[type sw \"work\"].value","value":"n@x"}]`, `error noTarget`},
		"create against itself":            {``, `[{"op":"add","path":"emails[type eq \"a\" and type eq \"b\"].value","value":"n@x"}]`, `error noTarget`},
		"replace none of them":             {mails, `[{"op":"replace","path":"emails[type eq \"fax\"]","value":{"value":"n@x"}}]`, `error noTarget`},
		"replace no such value":            {mails, `[{"op":"replace","path":"emails[value eq \"z@x\"].display","value":"n"}]`, `error noTarget`},
		"two for one":                      {mails, `[{"op":"replace","path":"emails[type eq \"home\"]","value":[{"value":"a"},{"value":"b"}]}]`, `error invalidValue`},

		// primary
		"a new primary one":       {mails, `[{"op":"add","path":"emails","value":{"value":"n@x","primary":true}}]`, `"emails":[{"value":"w@x","type":"work","primary":false},{"value":"h@x","type":"home"},{"value":"n@x","primary":true}]`},
		"another primary one":     {mails, `[{"op":"replace","path":"emails[type eq \"home\"].primary","value":"True"}]`, `"emails":[{"value":"w@x","type":"work","primary":false},{"value":"h@x","type":"home","primary":true}]`},
		"the old primary one":     {mails, `[{"op":"replace","path":"emails[type eq \"work\"].primary","value":true}]`, mails},
		"primary by an object":    {mails, `[{"op":"replace","path":"emails[type eq \"home\"]","value":{"value":"h@x","primary":true}}]`, `"emails":[{"value":"w@x","type":"work","primary":false},{"value":"h@x","primary":true}]`},
		"primary no more":         {mails, `[{"op":"replace","path":"emails[primary eq true].primary","value":false}]`, `"emails":[{"value":"w@x","type":"work","primary":false},{"value":"h@x","type":"home"}]`},
		"primary again":           {mails, `[{"op":"add","path":"emails","value":{"value":"h@x","primary":true}}]`, `"emails":[{"value":"w@x","type":"work","primary":false},{"value":"h@x","type":"home","primary":true}]`},
		"two primary ones":        {``, `[{"op":"add","path":"emails","value":[{"value":"a","primary":true},{"value":"b","primary":true}]}]`, `error invalidValue`},
		"two primary by replace":  {mails, `[{"op":"replace","value":{"emails":[{"value":"a","primary":true},{"value":"b","primary":"true"}]}}]`, `error invalidValue`},
		"all primary":             {mails, `[{"op":"replace","path":"emails.primary","value":true}]`, `error invalidValue`},
		"two chosen primary ones": {mails, `[{"op":"replace","path":"emails[value pr].primary","value":true}]`, `error invalidValue`},
		"two primary by objects":  {mails, `[{"op":"add","path":"emails[value pr]","value":{"primary":true}}]`, `error invalidValue`},

		// without a path
		"several":                      {mails, `[{"op":"replace","value":{"title":"t","name":{"givenName":"g"},"emails":[{"value":"n@x"}]}}]`, `"title":"t","name":{"givenName":"g"},"emails":[{"value":"n@x"}]`},
		"several by add":               {`"roles":[{"value":"a"}],"name":{"familyName":"f"}`, `[{"op":"add","value":{"roles":[{"value":"b"}],"name":{"givenName":"g"}}}]`, `"roles":[{"value":"a"},{"value":"b"}],"name":{"familyName":"f","givenName":"g"}`},
		"dotted and qualified names":   {``, `[{"op":"replace","value":{"name.givenName":"g","` + dept + `":"d",` + ent + `:{"manager":"m"},"emails[type eq \"work\"].value":"w"}}]`, `"name":{"givenName":"g"},"emails":[{"type":"work","value":"w"}],` + ent + `:{"department":"d","manager":{"value":"m"}}`},
		"null takes away":              {`"title":"t",` + mails, `[{"op":"replace","value":{"title":null,"emails":null}}]`, ``},
		"an empty object":              {`"title":"t"`, `[{"op":"replace","value":{}}]`, `"title":"t"`},
		"the URN of the schema":        {``, `[{"op":"replace","path":"` + UserURN + `","value":{"title":"t"}},{"op":"add","value":{"` + UserURN + `":{"nickName":"n"}}}]`, `"title":"t","nickName":"n"`},
		"read-only beside others":      {``, `[{"op":"replace","value":{"id":"x","meta":{"version":"1"},"groups":[],"schemas":["` + UserURN + `"],"title":"t"}}]`, `"title":"t"`},
		"read-only alone":              {``, `[{"op":"replace","value":{"groups":[{"value":"admins"}]}}]`, `error mutability`},
		"meta alone":                   {``, `[{"op":"replace","value":{"meta":{"version":"1"}}}]`, `error mutability`},
		"no groups where there are no": {``, `[{"op":"replace","value":{"groups":[]}}]`, ``},
		"unknown without a path":       {``, `[{"op":"replace","value":{"title":"t","shoeSize":43}}]`, `error invalidPath`},
		"a text without a path":        {``, `[{"op":"replace","value":"t"}]`, `error invalidValue`},
		"a list without a path":        {``, `[{"op":"add","value":[{"title":"t"}]}]`, `error invalidValue`},
		"remove without a path":        {`"title":"t"`, `[{"op":"remove","value":{"title":"t"}}]`, `error noTarget`},
		"remove the schema":            {`"title":"t"`, `[{"op":"remove","path":"` + UserURN + `"}]`, `error noTarget`},

		// required and read-only
		"remove the user name":     {``, `[{"op":"remove","path":"userName"}]`, `error mutability`},
		"no user name":             {``, `[{"op":"replace","path":"userName","value":null}]`, `error invalidValue`},
		"an empty user name":       {``, `[{"op":"replace","path":"userName","value":" "}]`, `error invalidValue`},
		"the id":                   {``, `[{"op":"replace","path":"id","value":"x"}]`, `error mutability`},
		"the groups":               {``, `[{"op":"add","path":"groups","value":[{"value":"admins"}]}]`, `error mutability`},
		"a group":                  {``, `[{"op":"replace","path":"groups[value eq \"a\"].display","value":"x"}]`, `error mutability`},
		"no groups":                {``, `[{"op":"remove","path":"groups"}]`, `error mutability`},
		"meta":                     {``, `[{"op":"replace","path":"meta.lastModified","value":"2020-01-01T00:00:00Z"}]`, `error mutability`},
		"the schemas":              {``, `[{"op":"remove","path":"schemas"}]`, `error mutability`},
		"schemas of another type":  {``, `[{"op":"replace","path":"schemas","value":["urn:x:y"]}]`, `error invalidValue`},
		"schemas as they might be": {``, `[{"op":"add","path":"schemas","value":["` + UserURN + `","urn:x:y"]}]`, ``},

		// custom extensions
		"a custom attribute":           {``, `[{"op":"add","path":"urn:acme:2.0:User:badge","value":"7"}]`, `"urn:acme:2.0:User":{"badge":"7"}`},
		"the same in other case":       {acme, `[{"op":"replace","path":"URN:ACME:2.0:user:BADGE","value":"8"}]`, strings.Replace(acme, `"7"`, `"8"`, 1)},
		"add a custom value":           {acme, `[{"op":"add","path":"urn:acme:2.0:User:tags","value":["b","c"]}]`, strings.Replace(acme, `"b"]`, `"b","c"]`, 1)},
		"replace custom values":        {acme, `[{"op":"replace","path":"urn:acme:2.0:User:tags","value":["z"]}]`, strings.Replace(acme, `["a","b"]`, `["z"]`, 1)},
		"remove a custom value":        {acme, `[{"op":"remove","path":"urn:acme:2.0:User:tags","value":["a"]}]`, strings.Replace(acme, `"a",`, ``, 1)},
		"remove custom values":         {acme, `[{"op":"remove","path":"urn:acme:2.0:User:tags"}]`, strings.Replace(acme, `"tags":["a","b"],`, ``, 1)},
		"a custom part":                {acme, `[{"op":"replace","path":"urn:acme:2.0:User:desk.floor","value":4}]`, strings.Replace(acme, `"floor":3`, `"floor":4`, 1)},
		"a custom part that is new":    {acme, `[{"op":"replace","path":"urn:acme:2.0:User:desk","value":{"room":"r"}}]`, strings.Replace(acme, `"floor":3`, `"floor":3,"room":"r"`, 1)},
		"the same number":              {acme, `[{"op":"replace","path":"urn:acme:2.0:User:desk.floor","value":3.0}]`, acme},
		"a custom filter":              {acme, `[{"op":"replace","path":"urn:acme:2.0:User:cars[plate eq \"1\"].seats","value":5}]`, strings.Replace(acme, `"seats":2`, `"seats":5`, 1)},
		"remove by a custom filter":    {acme, `[{"op":"remove","path":"urn:acme:2.0:User:cars[plate eq \"2\"]"}]`, strings.Replace(acme, `,{"plate":"2"}`, ``, 1)},
		"create by a custom filter":    {``, `[{"op":"add","path":"urn:acme:2.0:User:cars[plate eq \"3\"].seats","value":1}]`, `"urn:acme:2.0:User":{"cars":[{"plate":"3","seats":1}]}`},
		"a filter on no list":          {acme, `[{"op":"remove","path":"urn:acme:2.0:User:badge[a eq 1]"}]`, acme},
		"a custom extension":           {``, `[{"op":"add","path":"urn:acme:2.0:User","value":{"a":1}},{"op":"add","value":{"urn:Acme:2.0:User":{"b":2}}}]`, `"urn:acme:2.0:User":{"a":1,"b":2}`},
		"one of unusual form":          {`"urn:acme:ext":{"a":1}`, `[{"op":"replace","path":"urn:acme:ext","value":{"a":2}},{"op":"add","path":"urn:acme:ext:b","value":3}]`, `"urn:acme:ext":{"a":2,"b":3}`},
		"remove one of unusual form":   {`"urn:acme:ext":{"a":1}`, `[{"op":"remove","path":"urn:acme:ext"}]`, ``},
		"a version before the name":    {``, `[{"op":"add","path":"urn:acme:1.0:badge","value":"7"},{"op":"replace","path":"urn:acme:1.0:badge","value":"8"}]`, `"urn:acme:1.0":{"badge":"8"}`},
		"remove such a one":            {`"urn:acme:1.0":{"badge":"8","x":1}`, `[{"op":"remove","path":"urn:acme:1.0:badge"}]`, `"urn:acme:1.0":{"x":1}`},
		"null for a custom extension":  {acme, `[{"op":"replace","value":{"urn:acme:2.0:User":null,"title":"t"}}]`, `"title":"t"`},
		"another type's schema":        {``, `[{"op":"add","path":"` + GroupURN + `:displayName","value":"x"}]`, `error invalidPath`},
		"another type's schema, whole": {``, `[{"op":"add","value":{"` + GroupURN + `":{"displayName":"x"}}}]`, `error invalidPath`},
	} {
		t.Run(name, func(t *testing.T) { c.run(t, User) })
	}
}

// TestPatchOfTheRFC: the examples of RFC 7644 §3.5.2.
func TestPatchOfTheRFC(t *testing.T) {
	babs := `"members":[{"value":"2819c223-7f76-453a-919d-413861904646","display":"Babs Jensen"}]`
	for name, c := range map[string]change{
		"§3.5.2.1 add a member":   {``, `[{"op":"add","path":"members","value":[{"display":"Babs Jensen","$ref":"https://example.com/v2/Users/2819c223...413861904646","value":"2819c223-7f76-453a-919d-413861904646"}]}]`, babs[:len(babs)-2] + `,"$ref":"https://example.com/v2/Users/2819c223...413861904646"}]`},
		"§3.5.2.2 remove one":     {babs, `[{"op":"remove","path":"members[value eq \"2819c223-7f76-453a-919d-413861904646\"]"}]`, ``},
		"§3.5.2.2 remove all":     {babs, `[{"op":"remove","path":"members"}]`, ``},
		"§3.5.2.2 remove and add": {babs, `[{"op":"remove","path":"members[value eq \"2819c223-7f76-453a-919d-413861904646\"]"},{"op":"add","path":"members","value":[{"display":"James Smith","value":"08e1d05d-121c-4561-8b96-473d93df9210"}]}]`, `"members":[{"value":"08e1d05d-121c-4561-8b96-473d93df9210","display":"James Smith"}]`},
		"§3.5.2.3 replace all":    {babs, `[{"op":"replace","path":"members","value":[{"display":"James Smith","value":"08e1d05d-121c-4561-8b96-473d93df9210"}]}]`, `"members":[{"value":"08e1d05d-121c-4561-8b96-473d93df9210","display":"James Smith"}]`},
		"a member's id":           {babs, `[{"op":"replace","path":"members[display eq \"Babs Jensen\"].value","value":"other"}]`, `error mutability`},
		"a member's id, removed":  {babs, `[{"op":"remove","path":"members[display eq \"Babs Jensen\"].value"}]`, `error mutability`},
		"a member in other words": {babs, `[{"op":"add","path":"members","value":[{"value":"2819c223-7f76-453a-919d-413861904646","display":"B."}]}]`, babs},
	} {
		t.Run(name, func(t *testing.T) { c.run(t, Group) })
	}
	for name, c := range map[string]change{
		"§3.5.2.1 add": {``, `[{"op":"add","value":{"emails":[{"value":"babs@jensen.org","type":"home"}],"nickname":"Babs"}}]`, `"emails":[{"value":"babs@jensen.org","type":"home"}],"nickName":"Babs"`},
		"§3.5.2.2 remove a work address by domain": {`"emails":[{"value":"a@example.com","type":"work"},{"value":"b@other.com","type":"work"}]`,
			`[{"op":"remove","path":"emails[type eq \"work\" and value ew \"example.com\"]"}]`, `"emails":[{"value":"b@other.com","type":"work"}]`},
		"§3.5.2.3 replace an address": {`"addresses":[{"type":"work","locality":"Old","country":"US"}]`,
			`[{"op":"replace","path":"addresses[type eq \"work\"]","value":{"type":"work","streetAddress":"911 Universal City Plaza","locality":"Hollywood","primary":true}}]`,
			`"addresses":[{"type":"work","streetAddress":"911 Universal City Plaza","locality":"Hollywood","primary":true}]`},
		"§3.5.2.3 replace a street": {`"addresses":[{"type":"work","locality":"Old"}]`, `[{"op":"replace","path":"addresses[type eq \"work\"].streetAddress","value":"1010 Broadway Ave"}]`,
			`"addresses":[{"type":"work","locality":"Old","streetAddress":"1010 Broadway Ave"}]`},
		"§3.5.2.3 replace several": {`"emails":[{"value":"old"}]`, `[{"op":"replace","value":{"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}],"nickname":"Babs"}}]`,
			`"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}],"nickName":"Babs"`},
	} {
		t.Run(name, func(t *testing.T) { c.run(t, User) })
	}
}

// badPatches are bodies that ReadPatch or Patch refuses, with their scimType.
func badPatches() map[string]string {
	one := func(s string) string { return `{"Operations":[` + s + `]}` }
	out := map[string]string{
		``: TypeInvalidSyntax, `null`: TypeInvalidSyntax, `[]`: TypeInvalidSyntax, `{}`: TypeInvalidSyntax, `{"Operations":[]}`: TypeInvalidSyntax,
		`{"Operations":{"op":"add"}}`: TypeInvalidSyntax, `{"Operations":["add"]}`: TypeInvalidSyntax, `{"Operations":[{"op":"add"}`: TypeInvalidSyntax,
		`{"Operations":[{"op":"add","path":"title","value":"x"}],"operations":[]}`:                                                                  TypeInvalidSyntax,
		`{"schemas":["` + UserURN + `"],"Operations":[{"op":"add","path":"title","value":"x"}]}`:                                                    TypeInvalidSyntax,
		`{"schemas":1,"Operations":[{"op":"add","path":"title","value":"x"}]}`:                                                                      TypeInvalidSyntax,
		`{"Operations":[{"op":"add","path":"title","value":"x"}]} x`:                                                                                TypeInvalidSyntax,
		`{"Operations":[` + strings.Repeat(`{"op":"add","path":"title","value":"x"},`, MaxOperations) + `{"op":"add","path":"title","value":"x"}]}`: TypeTooMany,
		one(`{"path":"title","value":"x"}`):                                                                                                         TypeInvalidSyntax,
		one(`{"op":"","path":"title","value":"x"}`):                                                                                                 TypeInvalidSyntax,
		one(`{"op":"move","path":"title","value":"x"}`):                                                                                             TypeInvalidSyntax,
		one(`{"op":"addd","path":"title","value":"x"}`):                                                                                             TypeInvalidSyntax,
		one(`{"op":1,"path":"title","value":"x"}`):                                                                                                  TypeInvalidSyntax,
		one(`{"op":null,"path":"title","value":"x"}`):                                                                                               TypeInvalidSyntax,
		one(`{"op":"add","Op":"add","path":"title","value":"x"}`):                                                                                   TypeInvalidSyntax,
		one(`{"op":"add","path":1,"value":"x"}`):                                                                                                    TypeInvalidPath,
		one(`{"op":"add","path":["title"],"value":"x"}`):                                                                                            TypeInvalidPath,
		one(`{"op":"add","path":"title"}`):                                                                                                          TypeInvalidValue,
		one(`{"op":"add","path":"title","value":null}`):                                                                                             TypeInvalidValue,
		one(`{"op":"replace","path":"title"}`):                                                                                                      TypeInvalidValue,
		one(`{"op":"replace"}`):                                                                                                                     TypeInvalidValue,
		one(`{"op":"remove"}`):                                                                                                                      TypeNoTarget,
		one(`{"op":"remove","path":""}`):                                                                                                            TypeNoTarget,
		one(`{"op":"add","path":"title","value":5}`):                                                                                                TypeInvalidValue,
		one(`{"op":"add","path":"title","value":["x"]}`):                                                                                            TypeInvalidValue,
		one(`{"op":"add","path":"active","value":"perhaps"}`):                                                                                       TypeInvalidValue,
		one(`{"op":"replace","path":"active","value":[true]}`):                                                                                      TypeInvalidValue,
		one(`{"op":"add","path":"emails","value":7}`):                                                                                               TypeInvalidValue,
		one(`{"op":"add","path":"emails","value":[[]]}`):                                                                                            TypeInvalidValue,
		one(`{"op":"add","path":"emails.value","value":{}}`):                                                                                        TypeInvalidValue,
		one(`{"op":"add","path":"emails.value","value":7}`):                                                                                         TypeInvalidValue,
		one(`{"op":"add","path":"title","value":"` + strings.Repeat("x", MaxText+1) + `"}`):                                                         TypeInvalidValue,
		one(`{"op":"add","path":"userName","value":"` + strings.Repeat("x", MaxName+1) + `"}`):                                                      TypeInvalidValue,
		one(`{"op":"add","path":"emails[value eq \"` + strings.Repeat("x", MaxName+1) + `\"].type","value":"a"}`):                                   TypeNoTarget,
		one(`{"op":"add","path":"roles[value eq \"` + strings.Repeat("x", MaxFilter) + `\"].type","value":"a"}`):                                    TypeInvalidPath,
		one(`{"op":"add","path":"emails[` + strings.Repeat("(", 5000) + `].type","value":"a"}`):                                                     TypeInvalidPath,
	}
	for _, path := range []string{
		"shoeSize", "name.shoe", "title.x", "emails.shoe", " ", "title ", " title", "title.", ".title", "name..givenName", "name.givenName.x", "emails[0].value",
		"emails[]", "emails[type eq \\\"work\\\"", "emails[type eq work].value", "emails[shoe eq \\\"x\\\"].value", "emails[type eq \\\"work\\\"]value",
		"emails[type eq \\\"work\\\"].", "emails[type eq \\\"work\\\"].shoe", "emails[type eq \\\"work\\\"].value.x", "emails[type eq \\\"work\\\"][value pr]",
		"emails.value[type eq \\\"work\\\"]", "title[value eq \\\"x\\\"]", "name[givenName eq \\\"x\\\"].familyName", "userName eq \\\"x\\\"", "/title", "$.title",
		"urn:", "urn:x", "urn:x:", "urn:x::y", "urn:x y:z:a", "urn:ietf:params:scim:schemas:core:2.0:User:", "urn:ietf:params:scim:schemas:core:2.0:User:shoe", "urn:ietf:params:scim:schemas:core:2.0:Userx:title",
		EnterpriseURN + ":shoe", EnterpriseURN + ".department", "http://example.com/title", "members", "manager.shoe", "constructor", "__proto__", "title\\u0001", "t\u0131tle",
	} {
		if path == "urn:ietf:params:scim:schemas:core:2.0:Userx:title" || path == EnterpriseURN+".department" {
			continue // a custom extension, and one whose URN ends so
		}
		for _, op := range []string{"add", "replace", "remove"} {
			out[one(`{"op":"`+op+`","path":"`+path+`","value":"x"}`)] = TypeInvalidPath
		}
	}
	return out
}

func TestBadPatch(t *testing.T) {
	for body, scimType := range badPatches() {
		r := read(t, User, alice)
		before := show(r)
		ops, err := ReadPatch([]byte(body))
		if err == nil {
			_, err = User.Patch(r, ops)
		}
		if e, ok := err.(*Error); !ok || e.Status != 400 || e.Type != scimType || e.Detail == "" { //nolint:errorlint // the type itself is the contract
			t.Errorf("%.200s: %v, want %s", body, err, scimType)
		}
		if show(r) != before {
			t.Errorf("%.200s: refused, but it changed the resource", body)
		}
	}
}

func TestPatchSaysWhichOperation(t *testing.T) {
	r := read(t, User, alice)
	_, err := patch(r, User, `[{"op":"add","path":"title","value":"x"},{"op":"add","path":"emails[type eq \"work\"].value","value":5}]`)
	if err == nil || err.Error() != "invalidValue: Operation 2: emails: a text is wanted." && err.Error() != "invalidValue: Operation 2: emails.value: a text is wanted." {
		t.Error(err)
	}
}

func TestPatchGrowsNoFurtherThanALimit(t *testing.T) {
	r := read(t, User, `{"userName":"a"}`)
	for i := range MaxValues {
		if _, err := patch(r, User, fmt.Sprintf(`[{"op":"add","path":"roles","value":"r%d"}]`, i*7)); err != nil {
			t.Fatal(i, err)
		}
		if i > 40 && i < MaxValues-2 { // the list itself is what is tested, not a thousand requests
			list := r["roles"].([]any)
			for len(list) < MaxValues-1 {
				list = append(list, map[string]any{"value": fmt.Sprintf("filler %d", len(list))})
			}
			r["roles"] = list
			break
		}
	}
	if _, err := patch(r, User, `[{"op":"add","path":"roles","value":["one more","FILLER 500"]}]`); err != nil || len(r["roles"].([]any)) != MaxValues {
		t.Fatal(len(r["roles"].([]any)), err)
	}
	_, err := patch(r, User, `[{"op":"add","path":"roles","value":"too many"}]`)
	wantError(t, err, TypeInvalidValue)
	_, err = patch(r, User, `[{"op":"add","path":"roles[type eq \"new\"].value","value":"too many"}]`)
	wantError(t, err, TypeInvalidValue)
	_, err = patch(r, User, "["+strings.Repeat(`{"op":"replace","path":"roles[value eq \"x\" or type eq \"y\"].display","value":null},`, 500)+`{"op":"remove","path":"title"}]`)
	wantError(t, err, TypeTooMany)
	var unnamed strings.Builder
	for i := range MaxUnnamed + 1 {
		fmt.Fprintf(&unnamed, `,{"type":"t%d"}`, i)
	}
	_, err = patch(r, User, `[{"op":"remove","path":"roles","value":[`+unnamed.String()[1:]+`]}]`)
	wantError(t, err, TypeInvalidValue)
	for i := range 30 {
		if _, err = patch(r, User, fmt.Sprintf(`[{"op":"add","path":"urn:acme:2.0:User:a%d","value":"%s"}]`, i, strings.Repeat("x", 60_000))); err != nil {
			break
		}
	}
	wantError(t, err, TypeInvalidValue)
}
