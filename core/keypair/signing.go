package keypair

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Alg is a JWS algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
type Alg string

// The algorithms with which tokens are signed. Each has keys of its own.
const (
	RS256 Alg = "RS256"
	PS256 Alg = "PS256"
	ES256 Alg = "ES256"
	EdDSA Alg = "EdDSA"
)

// Algs are all of them; the first is what every OpenID Connect client must know.
var Algs = []Alg{RS256, PS256, ES256, EdDSA}

// How keys change.
const (
	RotateEvery  = 90 * 24 * time.Hour // how long a key signs
	PublishAhead = 24 * time.Hour      // how long a key is published before it signs: longer than clients keep a key set
	keepAfter    = 2 * time.Hour       // how long it is published after: longer than what it signed lives
	seenFor      = time.Minute         // how long an instance goes by the keys it has read
)

// SigningKey is a key with the time from which on it signs.
type SigningKey struct {
	Alg    Alg
	KeyID  string // RFC 7638 thumbprint of the public key
	From   time.Time
	signer crypto.Signer
}

// ring are the keys of one algorithm, oldest first, in one document: a rotation is one change of it.
type ring struct {
	Alg  Alg         `json:"alg"`
	Keys []storedKey `json:"keys"`

	version int64
	parsed  []SigningKey
}

type storedKey struct {
	PKCS8 []byte    `json:"pkcs8"`
	From  time.Time `json:"from"`
}

const rings = "signing_keys"

// Signing are the keys with which tokens are signed, as all instances have them.
type Signing struct {
	repo   record.Repo[ring]
	store  *store.Store
	ids    id.Source
	cached *cache.Cache[ring]
}

// NewSigning makes it over the store of records.
func NewSigning(records *store.Store, ids id.Source) *Signing {
	return &Signing{store: records, ids: ids, cached: cache.NewFor[ring](ids.Now, seenFor),
		repo: record.Repo[ring]{
			Store: records, Collection: rings, Noun: "signing key",
			Head:       func(r ring) store.Doc { return store.Doc{ID: string(r.Alg), Version: r.version} },
			SetVersion: func(r *ring, v int64) { r.version = v },
		}}
}

// Start makes the keys that are not there yet. Of two instances that start at once, one makes them.
func (s *Signing) Start(ctx context.Context) error {
	for _, alg := range Algs {
		_, err := s.read(ctx, alg)
		if fault.Is(err, fault.NotFound) {
			if err = s.begin(ctx, alg); err == nil {
				_, err = s.read(ctx, alg) // so that the first login finds it
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Signing) begin(ctx context.Context, alg Alg) error {
	k, err := s.generate(alg, s.ids.Now().UTC())
	if err != nil {
		return err
	}
	insert := s.repo.Insert(ring{Alg: alg, Keys: []storedKey{k}})
	err = s.repo.Once(ctx, &insert, func() error { return s.store.Commit(ctx, insert) })
	if store.Taken(err, rings, "") {
		return nil
	}
	return s.repo.Fault(err)
}

func (s *Signing) generate(alg Alg, from time.Time) (storedKey, error) {
	var signer crypto.Signer
	var err error
	switch alg {
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), s.ids.Rand)
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(s.ids.Rand)
	default:
		signer, err = rsa.GenerateKey(s.ids.Rand, rsaBits)
	}
	if err != nil {
		return storedKey{}, fmt.Errorf("keypair: make a key for %s: %w", alg, err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(signer)
	return storedKey{PKCS8: text, From: from}, err
}

// read reads the keys of an algorithm: at most seenFor old.
func (s *Signing) read(ctx context.Context, alg Alg) (ring, error) {
	return s.cached.Get(string(alg), func() (ring, error) {
		r, err := s.repo.Get(ctx, string(alg))
		if err != nil {
			return r, err
		}
		for _, k := range r.Keys {
			parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
			if err != nil {
				return r, fmt.Errorf("keypair: read a key for %s: %w", alg, err)
			}
			signer, ok := parsed.(crypto.Signer)
			if !ok {
				return r, fmt.Errorf("keypair: a key for %s cannot sign", alg)
			}
			if private, ok := signer.(*rsa.PrivateKey); ok {
				private.Precompute()
			}
			r.parsed = append(r.parsed, SigningKey{Alg: alg, KeyID: Thumbprint(signer.Public()), From: k.From, signer: signer})
		}
		return r, nil
	})
}

// Active is the key that signs now: the newest whose time has come.
func (s *Signing) Active(ctx context.Context, alg Alg) (SigningKey, error) {
	r, err := s.read(ctx, alg)
	if err != nil {
		return SigningKey{}, err
	}
	return r.parsed[r.active(s.ids.Now())], nil
}

// active is the place of the key that signs at a time.
func (r ring) active(now time.Time) int {
	for i := len(r.Keys) - 1; i > 0; i-- {
		if !r.Keys[i].From.After(now) {
			return i
		}
	}
	return 0
}

// Published are the public keys that clients should know: those that sign, those to come, and those whose tokens may live.
func (s *Signing) Published(ctx context.Context) ([]JWK, error) {
	now := s.ids.Now()
	var all []JWK
	for _, alg := range Algs {
		r, err := s.read(ctx, alg)
		if err != nil {
			return nil, err
		}
		for i, k := range r.parsed {
			if i+1 < len(r.parsed) && !r.parsed[i+1].From.Add(keepAfter).After(now) {
				continue // its successor has signed for long enough
			}
			all = append(all, jwk(k.signer.Public(), k.KeyID, string(alg)))
		}
	}
	return all, nil
}

// Rotate makes a new key for each algorithm, which signs after a while, or at once where the present one is not to be used
// any more. It returns the ids of the new keys.
func (s *Signing) Rotate(ctx context.Context, at time.Time) ([]string, error) {
	var made []string
	for _, alg := range Algs {
		k, err := s.generate(alg, at.UTC())
		if err != nil {
			return made, err
		}
		if _, err := s.change(ctx, alg, func(r *ring) { r.add(k, s.ids.Now()) }); err != nil {
			return made, err
		}
		parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
		if err != nil {
			return made, err
		}
		made = append(made, string(alg)+" "+Thumbprint(parsed.(crypto.Signer).Public()))
	}
	return made, nil
}

// RotateDue makes a new key for each algorithm whose key has signed for RotateEvery, or will have by the time that a new
// one may sign. Any number of instances may call it.
func (s *Signing) RotateDue(ctx context.Context) error {
	for _, alg := range Algs {
		r, err := s.read(ctx, alg)
		if err != nil {
			return err
		}
		if !r.due(s.ids.Now()) {
			continue
		}
		k, err := s.generate(alg, s.ids.Now().Add(PublishAhead).UTC())
		if err != nil {
			return err
		}
		_, err = s.change(ctx, alg, func(r *ring) {
			if r.due(s.ids.Now()) { // else another instance was faster
				r.add(k, s.ids.Now())
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *ring) due(now time.Time) bool {
	return r.Keys[len(r.Keys)-1].From.Add(RotateEvery - PublishAhead).Before(now)
}

// add puts a key in its place and drops those that nobody needs.
func (r *ring) add(k storedKey, now time.Time) {
	r.Keys = append(slices.Clone(r.Keys), k)
	slices.SortStableFunc(r.Keys, func(a, b storedKey) int { return a.From.Compare(b.From) })
	for len(r.Keys) > 1 && !r.Keys[1].From.Add(keepAfter).After(now) {
		r.Keys = r.Keys[1:]
	}
}

func (s *Signing) change(ctx context.Context, alg Alg, change func(*ring)) (ring, error) {
	defer s.cached.Clear()
	return s.repo.Change(ctx, string(alg), func(r *ring) error {
		change(r)
		return nil
	})
}

// Sign makes a JWS signature of a signing input (RFC 7515 §5.1).
func (k SigningKey) Sign(ids id.Source, input []byte) ([]byte, error) {
	sum := sha256.Sum256(input)
	var signature []byte
	var err error
	switch k.Alg {
	case EdDSA:
		signature, err = k.signer.Sign(ids.Rand, input, crypto.Hash(0))
	case PS256:
		signature, err = k.signer.Sign(ids.Rand, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	case ES256:
		if signature, err = k.signer.Sign(ids.Rand, sum[:], crypto.SHA256); err == nil {
			signature, err = joseSignature(signature, k.signer.Public())
		}
	default:
		signature, err = k.signer.Sign(ids.Rand, sum[:], crypto.SHA256)
	}
	if err != nil {
		return nil, fmt.Errorf("keypair: sign with %s: %w", k.Alg, err)
	}
	return signature, nil
}

// joseSignature turns an ASN.1 ECDSA signature into r||s at fixed width (RFC 7518 §3.4).
func joseSignature(der []byte, public crypto.PublicKey) ([]byte, error) {
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil, err
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("not an ECDSA key: %T", public)
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	rs.R.FillBytes(out[:size])
	rs.S.FillBytes(out[size:])
	return out, nil
}
