// Package keypair keeps Portico's own key pairs: made at the first start, sealed in the store, named by their purpose.
package keypair

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Purpose says what a key pair is for; there is one of each.
type Purpose string

// SAML is the pair that signs requests and decrypts assertions: RSA, with a certificate.
const SAML Purpose = "saml"

const (
	rsaBits    = 2048          // the smallest size that every identity provider and client library accepts
	secretName = "secret"      // what Secret answers
	certYears  = 30            // providers pin the certificate; its end would be an outage
	commonName = "Portico SSO" // subject of the SAML certificate
)

// Pair is one key pair.
type Pair struct {
	Purpose     Purpose
	KeyID       string // RFC 7638 thumbprint of the public key
	Signer      crypto.Signer
	Certificate []byte // DER; SAML only
	CreatedAt   time.Time
}

type stored struct {
	ID          string    `json:"id"`
	PKCS8       []byte    `json:"pkcs8,omitempty"`
	Secret      []byte    `json:"secret,omitempty"` // of Secret alone
	Certificate []byte    `json:"certificate,omitempty"`
	CreatedAt   time.Time `json:"createdAt"`

	version int64
}

const collection = "keys"

// Collections declares what this module stores.
func Collections() store.Schema {
	return store.Schema{{Name: collection, Sealed: true}, {Name: rings, Sealed: true}}
}

// Service keeps key pairs.
type Service struct {
	store *store.Store
	repo  record.Repo[stored]
	ids   id.Source
}

// NewService makes the service over the store of records.
func NewService(records *store.Store, ids id.Source) *Service {
	return &Service{store: records, ids: ids, repo: record.Repo[stored]{
		Store: records, Collection: collection, Noun: "key",
		Head:       func(k stored) store.Doc { return store.Doc{ID: k.ID, Version: k.version} },
		SetVersion: func(k *stored, v int64) { k.version = v },
	}}
}

// Secret reads the 32 random bytes that all instances share, or makes and keeps them.
func (s *Service) Secret(ctx context.Context) ([]byte, error) {
	k, err := s.ensure(ctx, secretName, func() (stored, error) {
		return stored{ID: secretName, Secret: s.ids.Bytes(32), CreatedAt: s.ids.Now().UTC()}, nil
	})
	return k.Secret, err
}

// Ensure reads the pair of a purpose, or makes and keeps it. Of two instances that start at once, one makes it.
func (s *Service) Ensure(ctx context.Context, purpose Purpose) (Pair, error) {
	k, err := s.ensure(ctx, string(purpose), func() (stored, error) { return s.generate(purpose) })
	if err != nil {
		return Pair{}, err
	}
	return k.pair()
}

func (s *Service) ensure(ctx context.Context, name string, generate func() (stored, error)) (stored, error) {
	k, err := s.repo.Get(ctx, name)
	if fault.Is(err, fault.NotFound) {
		if k, err = generate(); err != nil {
			return k, err
		}
		insert := s.repo.Insert(k)
		err = s.repo.Once(ctx, &insert, func() error { return s.store.Commit(ctx, insert) })
		if err == nil || store.Taken(err, collection, "") { // whose it is that is kept
			k, err = s.repo.Get(ctx, name)
		}
	}
	return k, s.repo.Fault(err)
}

func (s *Service) generate(purpose Purpose) (stored, error) {
	now := s.ids.Now().UTC()
	k := stored{ID: string(purpose), CreatedAt: now}
	signer, err := rsa.GenerateKey(s.ids.Rand, rsaBits)
	if err != nil {
		return k, fmt.Errorf("keypair: make the %s key: %w", purpose, err)
	}
	if k.PKCS8, err = x509.MarshalPKCS8PrivateKey(signer); err != nil {
		return k, fmt.Errorf("keypair: write the %s key: %w", purpose, err)
	}
	if purpose == SAML {
		k.Certificate, err = s.selfSign(signer, now)
	}
	return k, err
}

func (s *Service) selfSign(signer crypto.Signer, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetInt64(now.UnixNano()),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(certYears, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(s.ids.Rand, template, template, signer.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("keypair: make the SAML certificate: %w", err)
	}
	return der, nil
}

func (k stored) pair() (Pair, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
	if err != nil {
		return Pair{}, fmt.Errorf("keypair: read the %s key: %w", k.ID, err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return Pair{}, fmt.Errorf("keypair: the %s key cannot sign", k.ID)
	}
	if r, ok := signer.(*rsa.PrivateKey); ok {
		r.Precompute()
	}
	return Pair{Purpose: Purpose(k.ID), KeyID: Thumbprint(signer.Public()), Signer: signer,
		Certificate: k.Certificate, CreatedAt: k.CreatedAt}, nil
}

// JWK is a public key as RFC 7517 writes it.
type JWK struct {
	KeyType string `json:"kty"`
	Use     string `json:"use"`
	KeyID   string `json:"kid"`
	Alg     string `json:"alg"`
	N       string `json:"n,omitempty"`
	E       string `json:"e,omitempty"`
	Curve   string `json:"crv,omitempty"`
	X       string `json:"x,omitempty"`
	Y       string `json:"y,omitempty"`
}

// JWK is the pair's public key, for signatures with alg.
func (p Pair) JWK(alg string) JWK { return jwk(p.Signer.Public(), p.KeyID, alg) }

// jwk writes a public key, for signatures with alg.
func jwk(public crypto.PublicKey, keyID, alg string) JWK {
	k := JWK{Use: "sig", KeyID: keyID, Alg: alg}
	switch pub := public.(type) {
	case *rsa.PublicKey:
		k.KeyType, k.N, k.E = "RSA", b64(pub.N.Bytes()), b64(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		k.KeyType, k.Curve = "EC", pub.Curve.Params().Name
		k.X, k.Y = coordinates(pub)
	case ed25519.PublicKey: // RFC 8037 §2
		k.KeyType, k.Curve, k.X = "OKP", "Ed25519", b64(pub)
	}
	return k
}

// Thumbprint is the RFC 7638 thumbprint of a public key.
func Thumbprint(public crypto.PublicKey) string {
	var text string
	switch pub := public.(type) {
	case *rsa.PublicKey:
		text = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, b64(big.NewInt(int64(pub.E)).Bytes()), b64(pub.N.Bytes()))
	case *ecdsa.PublicKey:
		x, y := coordinates(pub)
		text = fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, pub.Curve.Params().Name, x, y)
	case ed25519.PublicKey:
		text = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, b64(pub))
	}
	sum := sha256.Sum256([]byte(text))
	return b64(sum[:])
}

func coordinates(pub *ecdsa.PublicKey) (x, y string) {
	point, err := pub.Bytes() // 4 || X || Y
	if err != nil {
		return "", ""
	}
	half := (len(point) - 1) / 2
	return b64(point[1 : 1+half]), b64(point[1+half:])
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
