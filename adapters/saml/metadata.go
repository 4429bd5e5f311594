package saml

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation"
)

// Why metadata cannot be used. The sentences are part of the contract of /api/v1/sso.
const (
	detailNoCertificate = "Could not find X509Certificate in the IdP metadata."
	detailNoIDP         = "Please provide a metadata with IDPSSODescriptor"
	detailNoEntityID    = "Couldn't parse EntityID from SAML metadata"
	detailNoBinding     = "Couldn't find SAML bindings for POST/REDIRECT"
	detailSSOURL        = "SSO URL not valid, allowed ones are localhost/HTTP/HTTPS URLs"
	detailNotBase64     = "An X509Certificate in the IdP metadata is not base64"
	detailNoX509        = "An X509Certificate in the IdP metadata cannot be read"
	detailKey           = "The X509Certificate in the IdP metadata has neither an RSA key of 2048 to 8192 bits nor an ECDSA key of 256 or more"
	detailCertificates  = "The IdP metadata has more than 16 certificates for signing"
	detailSeveralIDPs   = "The metadata describes more than one identity provider"
)

// ReadMetadata implements federation.SAML. The metadata's own signature is not looked at: whoever configures a
// connection vouches for it.
func (*Provider) ReadMetadata(doc []byte) (federation.IdentityProvider, error) {
	var idp federation.IdentityProvider
	root, err := xmltree.Parse(string(doc), xmltree.Options{Limits: metadataLimits})
	if err != nil {
		return idp, xmlError(err)
	}
	entity, role, err := findRole(root)
	if err != nil {
		return idp, err
	}
	entityID, _ := entity.Attr("entityID")
	if idp.EntityID = xmltree.Trim(entityID); idp.EntityID == "" {
		return idp, refuse(federation.CodeMetadata, detailNoEntityID)
	}
	if idp.Certificates, err = signingCertificates(role); err != nil {
		return idp, err
	}
	if idp.SSORedirectURL, idp.SSOPostURL = endpoints(role, "SingleSignOnService"); idp.SSORedirectURL+idp.SSOPostURL == "" {
		return idp, refuse(federation.CodeMetadata, detailNoBinding)
	}
	if !isWebURL(idp.SSORedirectURL) || !isWebURL(idp.SSOPostURL) {
		return idp, refuse(federation.CodeMetadata, detailSSOURL)
	}
	if idp.SLORedirectURL, idp.SLOPostURL = endpoints(role, "SingleLogoutService"); !isWebURL(idp.SLORedirectURL) {
		idp.SLORedirectURL = ""
	}
	if !isWebURL(idp.SLOPostURL) {
		idp.SLOPostURL = ""
	}
	wants, _ := role.Attr("WantAuthnRequestsSigned")
	wants = xmltree.Trim(wants)
	idp.WantAuthnRequestsSigned = wants == "true" || wants == "1"
	idp.NameIDFormats = nameIDFormats(role)
	return idp, nil
}

// findRole finds the one identity provider and its role for SAML 2.0.
func findRole(root *xmltree.Element) (entity, role *xmltree.Element, err error) {
	if !root.Is(nsMetadata, "EntityDescriptor") && !root.Is(nsMetadata, "EntitiesDescriptor") {
		return nil, nil, refuse(federation.CodeMetadata, detailNoIDP)
	}
	for e := range root.All() {
		if !e.Is(nsMetadata, "IDPSSODescriptor") || e.Parent == nil || !e.Parent.Is(nsMetadata, "EntityDescriptor") {
			continue
		}
		switch {
		case entity == nil:
			entity, role = e.Parent, e
		case entity != e.Parent:
			return nil, nil, refuse(federation.CodeMetadata, detailSeveralIDPs)
		case !speaksSAML2(role) && speaksSAML2(e):
			role = e
		}
	}
	if entity == nil {
		return nil, nil, refuse(federation.CodeMetadata, detailNoIDP)
	}
	return entity, role, nil
}

func speaksSAML2(role *xmltree.Element) bool {
	protocols, _ := role.Attr("protocolSupportEnumeration")
	return slices.Contains(strings.Fields(protocols), nsProtocol)
}

// maxCertificates bounds the keys that each response is tried with. A provider that changes its key names two or three.
const maxCertificates = 16

// signingCertificates returns the certificates of keys for signing, or for no stated use (SAML Metadata §2.4.1.1).
// Those of which no signature could be believed are left out.
func signingCertificates(role *xmltree.Element) (certificates [][]byte, err error) {
	problem := errors.New(detailNoCertificate)
	for key := range role.Elements() {
		if use, present := key.Attr("use"); !key.Is(nsMetadata, "KeyDescriptor") || present && use != "signing" {
			continue
		}
		for e := range key.All() {
			if !e.Is(nsSignature, "X509Certificate") {
				continue
			}
			der, err := readCertificate(e)
			if err != nil {
				problem = err
			} else if !slices.ContainsFunc(certificates, func(c []byte) bool { return bytes.Equal(c, der) }) {
				certificates = append(certificates, der)
			}
		}
	}
	switch n := len(certificates); {
	case n == 0:
		return nil, refuse(federation.CodeMetadata, problem.Error())
	case n > maxCertificates:
		return nil, refuse(federation.CodeMetadata, detailCertificates)
	}
	return certificates, nil
}

// readCertificate decodes a certificate, in whose base64 people leave white space and the lines of a PEM file.
func readCertificate(e *xmltree.Element) ([]byte, error) {
	s := pemLines.Replace(e.AllText())
	if xmltree.Trim(s) == "" {
		return nil, errors.New(detailNoCertificate)
	}
	der, err := decodeBase64(s)
	if err != nil {
		return nil, errors.New(detailNotBase64)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New(detailNoX509)
	}
	if !usableKey(c.PublicKey) {
		return nil, errors.New(detailKey)
	}
	return der, nil
}

var pemLines = strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "")

// endpoints returns the first endpoint of each binding.
func endpoints(role *xmltree.Element, service string) (redirect, post string) {
	for e := range role.Elements() {
		if !e.Is(nsMetadata, service) {
			continue
		}
		location, _ := e.Attr("Location")
		switch binding, _ := e.Attr("Binding"); {
		case binding == bindingRedirect && redirect == "":
			redirect = xmltree.Trim(location)
		case binding == bindingPost && post == "":
			post = xmltree.Trim(location)
		}
	}
	return redirect, post
}

// isWebURL reports whether a browser can be sent there; "" says that there is no such endpoint.
func isWebURL(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

func nameIDFormats(role *xmltree.Element) (formats []string) {
	for e := range role.Elements() {
		if s, err := text(e); err == nil && s != "" && e.Is(nsMetadata, "NameIDFormat") {
			formats = append(formats, s)
		}
	}
	return formats
}

// encryptionMethods are announced to identity providers, best first.
var encryptionMethods = []string{
	nsXMLEnc11 + "aes256-gcm", nsXMLEnc11 + "aes128-gcm", nsXMLEnc + "aes256-cbc", nsXMLEnc + "aes128-cbc", algOAEPMGF1P,
}

// WriteMetadata implements federation.SAML (SAML Metadata §2.4.4).
func (*Provider) WriteMetadata(m federation.ServiceProvider) ([]byte, error) {
	if m.EntityID == "" || len(m.ACS) == 0 {
		return nil, errors.New("saml: metadata needs an entity ID and an assertion consumer service")
	}
	w := &xmlWriter{}
	w.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<md:EntityDescriptor xmlns:md="` + nsMetadata + `"`)
	w.attr("entityID", m.EntityID)
	if !m.ValidUntil.IsZero() {
		w.attr("validUntil", formatInstant(m.ValidUntil))
	}
	w.raw(`><md:SPSSODescriptor`)
	w.attr("AuthnRequestsSigned", boolean(m.RequestsSigned))
	w.attr("protocolSupportEnumeration", nsProtocol)
	w.raw(`>`)
	for _, c := range m.SigningCertificates {
		w.keyDescriptor("signing", c, nil)
	}
	if m.EncryptionCertificate != nil {
		w.keyDescriptor("encryption", m.EncryptionCertificate, encryptionMethods)
	}
	for _, f := range m.NameIDFormats {
		w.element("md:NameIDFormat", f)
	}
	for i, acs := range m.ACS {
		w.acs(i, acs)
	}
	w.raw(`</md:SPSSODescriptor></md:EntityDescriptor>` + "\n")
	return w.out, nil
}

func (w *xmlWriter) keyDescriptor(use string, certificate []byte, methods []string) {
	w.raw(`<md:KeyDescriptor use="` + use + `"><ds:KeyInfo xmlns:ds="` + nsSignature + `"><ds:X509Data><ds:X509Certificate>`)
	w.raw(base64.StdEncoding.EncodeToString(certificate))
	w.raw(`</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`)
	for _, m := range methods {
		w.raw(`<md:EncryptionMethod Algorithm="` + m + `"></md:EncryptionMethod>`)
	}
	w.raw(`</md:KeyDescriptor>`)
}
