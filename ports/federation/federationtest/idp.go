// Package federationtest is a SAML identity provider (IdP) and an OpenID provider (OpenIDProvider) for tests and
// demonstrations. They do what they are told: they sign or do not, encrypt or do not, and say whatever a Response or a
// Script says, so that a test can put every lie into a correct signature. They believe whoever asks; never trust their
// keys anywhere else.
//
// It imports the standard library alone and shares no code with what it tests. All XML that it writes is in exclusive
// canonical form, which is why it can sign it without knowing how to canonicalize.
package federationtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// XML namespaces.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
	nsXMLEnc    = "http://www.w3.org/2001/04/xmlenc#"
	nsXMLEnc11  = "http://www.w3.org/2009/xmlenc11#"
)

const (
	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	bindingPost     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

// Options describe an identity provider.
type Options struct {
	EntityID           string           // "https://idp.example.com/metadata" by default
	SSOURL             string           // "https://idp.example.com/sso" by default
	Now                func() time.Time // required
	Key                crypto.Signer    // RSA or ECDSA; a new RSA-2048 key by default
	ECDSA              bool             // makes the new key one on P-256, which is much faster to make
	WantSignedRequests bool             // what the metadata says
	PostOnly           bool             // the metadata has no HTTP-Redirect endpoint
}

// IdP is an identity provider with one key. It is safe for concurrent use.
type IdP struct {
	Options
	Certificate []byte // self-signed, DER
}

// NewIdP makes an identity provider, with a new key unless one is given.
func NewIdP(o Options) (*IdP, error) {
	if o.Now == nil {
		return nil, errors.New("federationtest: no clock")
	}
	if o.EntityID == "" {
		o.EntityID = "https://idp.example.com/metadata"
	}
	if o.SSOURL == "" {
		o.SSOURL = "https://idp.example.com/sso"
	}
	if o.Key == nil {
		var err error
		if o.Key, err = newKey(o.ECDSA); err != nil {
			return nil, fmt.Errorf("federationtest: %w", err)
		}
	}
	certificate, err := SelfSign(o.Key, "Test identity provider", o.Now().Add(-time.Hour), o.Now().AddDate(10, 0, 0))
	if err != nil {
		return nil, err
	}
	return &IdP{Options: o, Certificate: certificate}, nil
}

func newKey(ec bool) (crypto.Signer, error) {
	if ec {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return rsa.GenerateKey(rand.Reader, 2048)
}

// SelfSign makes a certificate, DER, for a key.
func SelfSign(key crypto.Signer, name string, from, to time.Time) ([]byte, error) {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    from,
		NotAfter:     to,
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	return der, nil
}

// Metadata returns the provider's metadata.
func (p *IdP) Metadata() []byte {
	var w writer
	w.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<md:EntityDescriptor xmlns:md="` + nsMetadata + `"`)
	w.attr("entityID", p.EntityID)
	w.raw(`><md:IDPSSODescriptor`)
	if p.WantSignedRequests {
		w.attr("WantAuthnRequestsSigned", "true")
	}
	w.attr("protocolSupportEnumeration", nsProtocol)
	w.raw(`><md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="` + nsSignature + `"><ds:X509Data><ds:X509Certificate>` +
		base64.StdEncoding.EncodeToString(p.Certificate) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`)
	w.text("md:NameIDFormat", FormatEmail)
	for _, binding := range []string{bindingRedirect, bindingPost} {
		if binding == bindingRedirect && p.PostOnly {
			continue
		}
		w.raw(`<md:SingleSignOnService`)
		w.attr("Binding", binding)
		w.attr("Location", p.SSOURL)
		w.raw(`></md:SingleSignOnService>`)
	}
	w.raw(`</md:IDPSSODescriptor></md:EntityDescriptor>` + "\n")
	return []byte(w.String())
}

// newID returns a fresh xs:ID.
func newID() string {
	b := make([]byte, 16)
	rand.Read(b) // it never fails, see crypto/rand
	return "_" + hex.EncodeToString(b)
}
