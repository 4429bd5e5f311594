package sso

import (
	"context"
	"encoding/pem"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/federation"
)

// metadataTTL is how long the metadata we write says it is valid.
const metadataTTL = 10 * 365 * 24 * time.Hour

const maxEntityID = 1024 // bytes (SAML Core §8.3.6)

// MetadataRequest says which metadata is asked for.
type MetadataRequest struct {
	ConnectionID string // "" is the whole service's
	EntityID     string // instead of the service's or the connection's
	ACS          string // likewise
	Encryption   bool   // announce the certificate for encrypting assertions
}

// ServiceProviderMetadata writes our metadata for identity providers. Faults: NotFound, Invalid at acsUrl.
func (s *Service) ServiceProviderMetadata(ctx context.Context, m MetadataRequest) ([]byte, error) {
	var c Connection
	if m.ConnectionID != "" {
		var err error
		if c, err = s.Get(ctx, m.ConnectionID); err != nil {
			return nil, err
		}
	}
	sp := federation.ServiceProvider{
		EntityID: s.Audience(c), ACS: s.ACS(c)[:1], NameIDFormats: []string{DefaultNameIDFormat},
		SigningCertificates: [][]byte{s.Key.Certificate}, RequestsSigned: c.SignRequests != SignNever,
		ValidUntil: s.now().Add(metadataTTL),
	}
	if c.NameIDFormat != "" {
		sp.NameIDFormats = []string{c.NameIDFormat}
	}
	if len(m.EntityID) > maxEntityID || !utf8.ValidString(m.EntityID) || strings.ContainsFunc(m.EntityID, unicode.IsControl) {
		return nil, fault.At("entityId", "invalid", "entityId must be a URI of at most 1024 bytes.") // XML could not hold it
	}
	if m.EntityID != "" {
		sp.EntityID = m.EntityID
	}
	if m.ACS != "" {
		if !absoluteURL(m.ACS) {
			return nil, fault.At("acsUrl", "invalid", "acsUrl must be an absolute http or https URL.")
		}
		sp.ACS = []string{m.ACS}
	}
	if m.Encryption {
		sp.EncryptionCertificate = s.Key.Certificate
	}
	return s.SAML.WriteMetadata(sp)
}

// CertificatePEM is the certificate of our SAML key.
func (s *Service) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Key.Certificate})
}
