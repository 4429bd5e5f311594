package federationtest

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Request is an AuthnRequest as it came from the browser.
type Request struct {
	ID           string
	Issuer       string
	ACS          string
	Destination  string
	NameIDFormat string
	ForceAuthn   bool
	RelayState   string
	Post         bool // the HTTP-POST binding brought it, else HTTP-Redirect
	Signed       bool // it carries a signature, verified where a certificate was given
}

// maxRequest bounds a request, deflated or not.
const maxRequest = 64 << 10

// ParseRequest reads the AuthnRequest of an HTTP request of either binding. With the service provider's certificate,
// DER, an unsigned request or one that does not verify is an error.
func ParseRequest(r *http.Request, certificate []byte) (Request, error) {
	var key crypto.PublicKey
	if certificate != nil {
		c, err := x509.ParseCertificate(certificate)
		if err != nil {
			return Request{}, fmt.Errorf("federationtest: %w", err)
		}
		key = c.PublicKey
	}
	if r.Method == http.MethodPost {
		return parsePost(r, key)
	}
	return parseRedirect(r.URL, key)
}

// ParseRedirect is ParseRequest for the URL that a browser is redirected to.
func ParseRedirect(location string, certificate []byte) (Request, error) {
	r, err := http.NewRequest(http.MethodGet, location, http.NoBody)
	if err != nil {
		return Request{}, fmt.Errorf("federationtest: %w", err)
	}
	return ParseRequest(r, certificate)
}

func parsePost(r *http.Request, key crypto.PublicKey) (q Request, err error) {
	r.Body = http.MaxBytesReader(nil, r.Body, 2*maxRequest)
	doc, err := base64.StdEncoding.DecodeString(r.PostFormValue("SAMLRequest"))
	if err != nil {
		return q, fmt.Errorf("federationtest: %w", err)
	}
	if q, err = readRequest(doc); err != nil {
		return q, err
	}
	q.Post = true
	q.RelayState = r.PostFormValue("RelayState")
	q.Signed = bytes.Contains(doc, []byte("<ds:Signature "))
	if key != nil {
		err = verifyEnveloped(string(doc), q.ID, key)
	}
	return q, err
}

func parseRedirect(u *url.URL, key crypto.PublicKey) (q Request, err error) {
	query := u.Query()
	deflated, err := base64.StdEncoding.DecodeString(query.Get("SAMLRequest"))
	if err != nil {
		return q, fmt.Errorf("federationtest: %w", err)
	}
	doc, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(deflated)), maxRequest))
	if err != nil {
		return q, fmt.Errorf("federationtest: %w", err)
	}
	if q, err = readRequest(doc); err != nil {
		return q, err
	}
	q.RelayState = query.Get("RelayState")
	q.Signed = query.Has("Signature")
	if key != nil {
		err = verifyQuery(u.RawQuery, query, key)
	}
	return q, err
}

func readRequest(doc []byte) (q Request, err error) {
	var x struct {
		XMLName      xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol AuthnRequest"`
		ID           string   `xml:",attr"`
		Version      string   `xml:",attr"`
		Destination  string   `xml:",attr"`
		ForceAuthn   bool     `xml:",attr"`
		ACS          string   `xml:"AssertionConsumerServiceURL,attr"`
		Issuer       string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
		NameIDPolicy struct {
			Format string `xml:",attr"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:protocol NameIDPolicy"`
	}
	if err := xml.Unmarshal(doc, &x); err != nil {
		return q, fmt.Errorf("federationtest: %w", err)
	}
	if x.Version != "2.0" || x.ID == "" || x.Issuer == "" || x.ACS == "" {
		return q, errors.New("federationtest: an AuthnRequest needs Version 2.0, ID, Issuer and AssertionConsumerServiceURL")
	}
	return Request{
		ID: x.ID, Issuer: x.Issuer, ACS: x.ACS, Destination: x.Destination, NameIDFormat: x.NameIDPolicy.Format,
		ForceAuthn: x.ForceAuthn,
	}, nil
}

// verifyQuery checks the signature of the HTTP-Redirect binding, over the query as it came (SAML Bindings §3.4.4.1).
func verifyQuery(raw string, query url.Values, key crypto.PublicKey) error {
	var signed []string
	for _, name := range []string{"SAMLRequest", "RelayState", "SigAlg"} {
		for part := range strings.SplitSeq(raw, "&") {
			if strings.HasPrefix(part, name+"=") {
				signed = append(signed, part)
			}
		}
	}
	value, err := base64.StdEncoding.DecodeString(query.Get("Signature"))
	if err != nil {
		return fmt.Errorf("federationtest: %w", err)
	}
	return verify(key, query.Get("SigAlg"), strings.Join(signed, "&"), value)
}

// verifyEnveloped checks an enveloped signature by cutting it out of the text. This needs a request in canonical form
// with the prefix ds, which is what our service provider writes; one in any other form does not verify.
func verifyEnveloped(doc, id string, key crypto.PublicKey) error {
	start := strings.Index(doc, `</saml:Issuer><ds:Signature xmlns:ds="`+nsSignature+`">`) + len(`</saml:Issuer>`)
	end := strings.Index(doc, `</ds:Signature>`) + len(`</ds:Signature>`)
	if start < len(`</saml:Issuer>`) || end < start {
		return errors.New("federationtest: the request is not signed")
	}
	info := between(doc[start:end], `>`, `<ds:SignatureValue>`)
	method := between(info, `<ds:SignatureMethod Algorithm="`, `"`)
	if info != signedInfo(method, digestSHA256, id, digest(crypto.SHA256, doc[:start]+doc[end:])) {
		return errors.New("federationtest: the request is not what its signature covers")
	}
	value, err := base64.StdEncoding.DecodeString(between(doc[start:end], `<ds:SignatureValue>`, `<`))
	if err != nil {
		return fmt.Errorf("federationtest: %w", err)
	}
	return verify(key, method, canonicalInfo(info), value)
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}
