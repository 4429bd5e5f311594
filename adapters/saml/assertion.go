package saml

import (
	"slices"
	"time"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation"
)

// readAssertion checks a verified assertion against what is expected and returns its content (SAML Profiles §4.1.4.3).
func readAssertion(e *xmltree.Element, expect federation.Expect) (a federation.Assertion, err error) {
	if err := checkHeader(e, expect, &a); err != nil {
		return a, err
	}
	if a.ExpiresAt, err = readSubject(e, expect, &a.NameID); err != nil {
		return a, err
	}
	end, err := checkConditions(e, expect)
	if err != nil {
		return a, err
	}
	a.ExpiresAt = earlier(a.ExpiresAt, end)
	if end, err = readAuthnStatements(e, expect, &a); err != nil {
		return a, err
	}
	a.ExpiresAt = earlier(earlier(a.ExpiresAt, end).Add(expect.Skew), endOfTime)
	a.Attributes, err = readAttributes(e)
	return a, err
}

// endOfTime is what some providers write for never; the skew would take it into a year that no store keeps.
var endOfTime = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)

func checkHeader(e *xmltree.Element, expect federation.Expect, a *federation.Assertion) (err error) {
	if v, _ := e.Attr("Version"); v != "2.0" {
		return refuse(federation.CodeMalformed, "an assertion of a version other than SAML 2.0")
	}
	if a.ID, _ = e.Attr("ID"); !xmltree.IsNCName(a.ID) {
		return refuse(federation.CodeMalformed, "an assertion without a valid ID")
	}
	if t, err := instantAttr(e, "IssueInstant"); t.IsZero() || err != nil {
		return refuse(federation.CodeMalformed, "an assertion without a valid IssueInstant")
	}
	if !e.Blank() {
		return refuse(federation.CodeMalformed, "text inside Assertion")
	}
	if a.Issuer, err = readIssuer(e); err != nil {
		return err
	}
	if a.Issuer != expect.Issuer || a.Issuer == "" {
		return refuse(federation.CodeIssuer, "the assertion is of another issuer")
	}
	return nil
}

// readSubject reads the subject, which must have a bearer confirmation that holds. It returns when the last of those
// ends.
func readSubject(e *xmltree.Element, expect federation.Expect, id *federation.NameID) (end time.Time, err error) {
	subject, err := only(e, nsAssertion, "Subject")
	if err != nil {
		return end, err
	}
	if subject == nil {
		return end, refuse(federation.CodeAssertion, "an assertion without Subject")
	}
	if *id, err = readNameID(subject); err != nil {
		return end, err
	}
	reason := error(refuse(federation.CodeAssertion, "a Subject without bearer confirmation"))
	for c := range subject.Elements() {
		if method, _ := c.Attr("Method"); method != methodBearer || !c.Is(nsAssertion, "SubjectConfirmation") {
			continue
		}
		until, err := checkBearer(c, expect)
		if err != nil {
			reason = err
		} else if until.After(end) {
			end = until
		}
	}
	if end.IsZero() {
		return end, reason
	}
	return end, nil
}

// readNameID reads the identifier of a subject. A subject may have none (SAML Core §2.4.1).
func readNameID(subject *xmltree.Element) (id federation.NameID, err error) {
	for _, local := range []string{"EncryptedID", "BaseID"} {
		if other, err := only(subject, nsAssertion, local); other != nil || err != nil {
			return id, refuse(federation.CodeAssertion, "a subject with "+local+", which is not supported")
		}
	}
	e, err := only(subject, nsAssertion, "NameID")
	if e == nil || err != nil {
		return id, err
	}
	id.Format, _ = e.Attr("Format")
	id.NameQualifier, _ = e.Attr("NameQualifier")
	id.SPNameQualifier, _ = e.Attr("SPNameQualifier")
	id.Value, err = text(e)
	return id, err
}

// checkBearer checks one bearer confirmation (SAML Profiles §4.1.4.2) and returns when it ends.
func checkBearer(confirmation *xmltree.Element, expect federation.Expect) (end time.Time, err error) {
	data, err := only(confirmation, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		return end, err
	}
	if data == nil {
		return end, refuse(federation.CodeAssertion, "a bearer confirmation without SubjectConfirmationData")
	}
	if recipient, _ := data.Attr("Recipient"); !slices.Contains(expect.ACS, recipient) {
		return end, refuse(federation.CodeRecipient, "the assertion is for another recipient")
	}
	inResponseTo, present := data.Attr("InResponseTo")
	if present != (expect.RequestID != "") || inResponseTo != expect.RequestID {
		return end, refuse(federation.CodeInResponseTo, "the assertion answers another request, or none where one was made")
	}
	if end, err = checkWindow(data, expect); err != nil {
		return end, err
	}
	if end.IsZero() {
		return end, refuse(federation.CodeAssertion, "a bearer confirmation without NotOnOrAfter")
	}
	return end, nil
}

// checkWindow checks NotBefore and NotOnOrAfter of an element, where it has them, and returns the latter.
func checkWindow(e *xmltree.Element, expect federation.Expect) (end time.Time, err error) {
	start, err := instantAttr(e, "NotBefore")
	if err != nil {
		return end, err
	}
	if expect.Now.Add(expect.Skew).Before(start) {
		return end, refuse(federation.CodeNotYetValid, "the "+e.Local+" is not valid yet")
	}
	if end, err = instantAttr(e, "NotOnOrAfter"); err != nil {
		return end, err
	}
	return end, checkEnd(e, end, expect)
}

func checkEnd(e *xmltree.Element, end time.Time, expect federation.Expect) error {
	if !end.IsZero() && !expect.Now.Before(end.Add(expect.Skew)) {
		return refuse(federation.CodeExpired, "the "+e.Local+" has expired")
	}
	return nil
}

// checkConditions checks the conditions, of which an audience restriction must be one, and returns when they end. A
// condition that is not understood leaves the assertion's validity open, which is not valid (SAML Core §2.5.1.1).
func checkConditions(e *xmltree.Element, expect federation.Expect) (end time.Time, err error) {
	conditions, err := only(e, nsAssertion, "Conditions")
	if err != nil {
		return end, err
	}
	if conditions == nil {
		return end, refuse(federation.CodeAssertion, "an assertion without Conditions")
	}
	if end, err = checkWindow(conditions, expect); err != nil {
		return end, err
	}
	restricted := false
	for c := range conditions.Elements() {
		switch {
		case c.Is(nsAssertion, "AudienceRestriction"):
			if restricted = true; !hasAudience(c, expect.Audience) {
				return end, refuse(federation.CodeAudience, "the assertion is for another audience")
			}
		case c.Is(nsAssertion, "OneTimeUse"), c.Is(nsAssertion, "ProxyRestriction"):
		default:
			return end, refuse(federation.CodeAssertion, "a condition that is not understood")
		}
	}
	if !restricted {
		return end, refuse(federation.CodeAudience, "the assertion is for no audience")
	}
	return end, nil
}

func hasAudience(restriction *xmltree.Element, audience string) bool {
	for c := range restriction.Elements() {
		if s, err := text(c); err == nil && s == audience && s != "" && c.Is(nsAssertion, "Audience") {
			return true
		}
	}
	return false
}

// readAuthnStatements reads the first authentication statement and checks the end of the session in all of them. It
// returns the earliest.
func readAuthnStatements(e *xmltree.Element, expect federation.Expect, a *federation.Assertion) (end time.Time, err error) {
	found := false
	for c := range e.Elements() {
		if !c.Is(nsAssertion, "AuthnStatement") {
			continue
		}
		until, err := instantAttr(c, "SessionNotOnOrAfter")
		if err != nil {
			return end, err
		}
		if err := checkEnd(c, until, expect); err != nil {
			return end, err
		}
		if end = earlier(end, until); found {
			continue
		}
		found = true
		if err := readAuthnStatement(c, a); err != nil {
			return end, err
		}
	}
	if !found {
		return end, refuse(federation.CodeAssertion, "an assertion without AuthnStatement")
	}
	return end, nil
}

func readAuthnStatement(e *xmltree.Element, a *federation.Assertion) (err error) {
	a.SessionIndex, _ = e.Attr("SessionIndex")
	if a.AuthnInstant, err = instantAttr(e, "AuthnInstant"); err != nil {
		return err
	}
	context, err := only(e, nsAssertion, "AuthnContext")
	if context == nil || err != nil {
		return err
	}
	class, err := only(context, nsAssertion, "AuthnContextClassRef")
	if class == nil || err != nil {
		return err
	}
	a.AuthnContext, err = text(class)
	return err
}

// readAttributes reads all attribute statements. A value is its text: markup inside one is no part of it.
func readAttributes(e *xmltree.Element) (attributes []federation.Attribute, err error) {
	for statement := range e.Elements() {
		if !statement.Is(nsAssertion, "AttributeStatement") {
			continue
		}
		for c := range statement.Elements() {
			if c.Is(nsAssertion, "EncryptedAttribute") {
				return nil, refuse(federation.CodeAssertion, "an EncryptedAttribute, which is not supported")
			}
			if c.Is(nsAssertion, "Attribute") {
				attributes = append(attributes, readAttribute(c))
			}
		}
	}
	return attributes, nil
}

func readAttribute(e *xmltree.Element) (a federation.Attribute) {
	a.Name, _ = e.Attr("Name")
	a.FriendlyName, _ = e.Attr("FriendlyName")
	a.NameFormat, _ = e.Attr("NameFormat")
	for v := range e.Elements() {
		if v.Is(nsAssertion, "AttributeValue") {
			a.Values = append(a.Values, xmltree.Trim(v.AllText()))
		}
	}
	return a
}

// earlier returns the earlier of two times, the zero time being no limit.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
