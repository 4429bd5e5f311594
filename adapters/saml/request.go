package saml

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"sync"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation"
)

// WriteRequest implements federation.SAML (SAML Core §3.4.1, Bindings §3.4 and §3.5).
func (*Provider) WriteRequest(r federation.AuthnRequest) (federation.Outgoing, error) {
	destination, err := url.Parse(r.Destination)
	if err != nil || !isWebURL(r.Destination) || r.Destination == "" {
		return federation.Outgoing{}, errors.New("saml: a request needs an http or https destination")
	}
	if !xmltree.IsNCName(r.ID) {
		return federation.Outgoing{}, errors.New("saml: a request needs an xs:ID")
	}
	head, tail := writeAuthnRequest(r)
	switch r.Binding {
	case federation.BindingRedirect:
		return redirect(r, destination, append(head, tail...))
	case federation.BindingPost:
		return post(r, head, tail)
	}
	return federation.Outgoing{}, fmt.Errorf("saml: unknown binding %q", r.Binding)
}

// writeAuthnRequest writes the request in canonical form, in two parts with the place of a signature between them.
func writeAuthnRequest(r federation.AuthnRequest) (head, tail []byte) {
	w := &xmlWriter{out: make([]byte, 0, 2048)}
	w.raw(`<samlp:AuthnRequest xmlns:samlp="` + nsProtocol + `"`)
	w.attr("AssertionConsumerServiceURL", r.ACS)
	w.attr("Destination", r.Destination)
	if r.ForceAuthn {
		w.attr("ForceAuthn", "true")
	}
	w.attr("ID", r.ID)
	w.attr("IssueInstant", formatInstant(r.IssueInstant))
	w.attr("ProtocolBinding", bindingPost)
	w.attr("Version", "2.0")
	w.raw(`><saml:Issuer xmlns:saml="` + nsAssertion + `">`)
	w.out = xmltree.AppendText(w.out, r.Issuer)
	w.raw(`</saml:Issuer>`)
	head, w.out = w.out, nil
	w.raw(`<samlp:NameIDPolicy AllowCreate="true"`)
	if r.NameIDFormat != "" {
		w.attr("Format", r.NameIDFormat)
	}
	w.raw(`></samlp:NameIDPolicy></samlp:AuthnRequest>`)
	return head, w.out
}

// redirect writes the HTTP-Redirect binding: deflated, with the signature over the query (SAML Bindings §3.4.4.1).
func redirect(r federation.AuthnRequest, destination *url.URL, doc []byte) (out federation.Outgoing, err error) {
	query := "SAMLRequest=" + escape(base64.StdEncoding.EncodeToString(deflate(doc)))
	if r.RelayState != "" {
		query += "&RelayState=" + escape(r.RelayState)
	}
	if r.Signer != nil {
		alg, err := signingAlgorithm(r.Signer)
		if err != nil {
			return out, err
		}
		query += "&SigAlg=" + escape(alg)
		value, err := sign(r.Signer, []byte(query))
		if err != nil {
			return out, err
		}
		query += "&Signature=" + escape(base64.StdEncoding.EncodeToString(value))
	}
	u := *destination
	u.Fragment, u.RawFragment, u.ForceQuery = "", "", false
	if u.RawQuery != "" {
		query = u.RawQuery + "&" + query
	}
	u.RawQuery = query
	return federation.Outgoing{URL: u.String()}, nil
}

// escape is percent encoding without the plus sign, which the recipient could take for a space or for itself.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// flateWriters are kept because a new one zeroes hundreds of kilobytes.
var flateWriters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.DefaultCompression) // the level is valid
	return w
}}

func deflate(doc []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(doc))
	w := flateWriters.Get().(*flate.Writer)
	defer flateWriters.Put(w)
	w.Reset(&b)
	_, _ = w.Write(doc) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// post writes the HTTP-POST binding, with an enveloped signature (SAML Core §5.4).
func post(r federation.AuthnRequest, head, tail []byte) (out federation.Outgoing, err error) {
	doc := make([]byte, 0, len(head)+len(tail)+4096)
	doc = append(doc, head...)
	if r.Signer != nil {
		signature, err := envelopedSignature(r, head, tail)
		if err != nil {
			return out, err
		}
		doc = append(doc, signature...)
	}
	doc = append(doc, tail...)
	out.URL = r.Destination
	out.Form = []federation.FormField{{Name: "SAMLRequest", Value: base64.StdEncoding.EncodeToString(doc)}}
	if r.RelayState != "" {
		out.Form = append(out.Form, federation.FormField{Name: "RelayState", Value: r.RelayState})
	}
	return out, nil
}

// envelopedSignature signs the request, which is in canonical form without the signature itself.
func envelopedSignature(r federation.AuthnRequest, head, tail []byte) ([]byte, error) {
	alg, err := signingAlgorithm(r.Signer)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write(head)
	h.Write(tail)
	info := `<ds:CanonicalizationMethod Algorithm="` + algExclusive + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + alg + `"></ds:SignatureMethod>` +
		`<ds:Reference URI="#` + r.ID + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="` + algEnveloped + `"></ds:Transform>` +
		`<ds:Transform Algorithm="` + algExclusive + `"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + algSHA256 + `"></ds:DigestMethod>` +
		`<ds:DigestValue>` + base64.StdEncoding.EncodeToString(h.Sum(nil)) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	// SignedInfo is signed on its own, with the declaration that it inherits in the document.
	value, err := sign(r.Signer, []byte(`<ds:SignedInfo xmlns:ds="`+nsSignature+`">`+info))
	if err != nil {
		return nil, err
	}
	w := &xmlWriter{}
	w.raw(`<ds:Signature xmlns:ds="` + nsSignature + `"><ds:SignedInfo>` + info)
	w.element("ds:SignatureValue", base64.StdEncoding.EncodeToString(value))
	if r.Certificate != nil {
		w.raw(`<ds:KeyInfo><ds:X509Data>`)
		w.element("ds:X509Certificate", base64.StdEncoding.EncodeToString(r.Certificate))
		w.raw(`</ds:X509Data></ds:KeyInfo>`)
	}
	w.raw(`</ds:Signature>`)
	return w.out, nil
}

func signingAlgorithm(s crypto.Signer) (string, error) {
	switch s.Public().(type) {
	case *rsa.PublicKey:
		return algRSASHA256, nil
	case *ecdsa.PublicKey:
		return algECSHA256, nil
	}
	return "", errors.New("saml: requests are signed with RSA or ECDSA keys only")
}

func sign(s crypto.Signer, octets []byte) ([]byte, error) {
	digest := sha256.Sum256(octets)
	value, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("saml: sign request: %w", err)
	}
	key, isECDSA := s.Public().(*ecdsa.PublicKey)
	if !isECDSA {
		return value, nil
	}
	// XML Signature §6.4.3 wants r and s at full length, where Go writes ASN.1.
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(value, &rs); err != nil {
		return nil, fmt.Errorf("saml: sign request: %w", err)
	}
	size := (key.Params().N.BitLen() + 7) / 8
	return append(rs.R.FillBytes(make([]byte, size)), rs.S.FillBytes(make([]byte, size))...), nil
}
