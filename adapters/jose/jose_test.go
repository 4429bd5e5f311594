package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	adapter "github.com/portico-sso/portico/adapters/jose"
	"github.com/portico-sso/portico/ports/jose"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

type pair struct {
	alg    string
	id     string
	secret crypto.Signer
}

func pairs(t *testing.T) []pair {
	t.Helper()
	r := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return []pair{{"RS256", "r", r}, {"PS256", "p", r}, {"EdDSA", "d", ed},
		{"ES256", "e", must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))},
		{"ES384", "f", must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))}}
}

func sign(t *testing.T, alg string, key any, o *gojose.SignerOptions, payload string) string {
	t.Helper()
	s := must[gojose.Signer](t)(gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.SignatureAlgorithm(alg), Key: key}, o))
	return must[string](t)(must[*gojose.JSONWebSignature](t)(s.Sign([]byte(payload))).CompactSerialize())
}

func set(t *testing.T, keys ...gojose.JSONWebKey) []byte {
	t.Helper()
	return must[[]byte](t)(json.Marshal(gojose.JSONWebKeySet{Keys: keys}))
}

func TestVerify(t *testing.T) {
	j := adapter.New()
	all := pairs(t)
	var published []gojose.JSONWebKey
	for _, p := range all {
		published = append(published, gojose.JSONWebKey{Key: p.secret.Public(), KeyID: p.id, Algorithm: p.alg, Use: "sig"})
	}
	keys := must[[]jose.Key](t)(j.ReadKeys(set(t, published...)))
	for _, p := range all {
		o := (&gojose.SignerOptions{}).WithType("x+jwt").WithHeader("kid", p.id)
		token := sign(t, p.alg, p.secret, o, `{"a":1}`)
		got, err := j.Verify(token, keys, jose.Algs)
		if err != nil || string(got.Payload) != `{"a":1}` || got.Type != "x+jwt" || got.Key.ID != p.id || got.Alg != p.alg || got.Key.Thumbprint == "" {
			t.Errorf("%s: %+v, %v", p.alg, got, err)
		}
		if _, err := j.Verify(token, keys, []string{"ES512"}); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("%s where it is not allowed: %v", p.alg, err)
		}
		if _, err := j.Verify(sign(t, p.alg, p.secret, (&gojose.SignerOptions{}).WithHeader("kid", "other"), "{}"), keys, jose.Algs); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s of an unknown key: %v", p.alg, err)
		}
		parts := strings.Split(token, ".")
		for what, changed := range map[string]string{
			"another payload":   parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"a":2}`)) + "." + parts[2],
			"another signature": parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		} {
			if _, err := j.Verify(changed, keys, jose.Algs); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("%s, %s: %v", p.alg, what, err)
			}
		}
		own := sign(t, p.alg, p.secret, &gojose.SignerOptions{EmbedJWK: true}, "{}")
		if got, err := j.VerifyOwn(own, jose.Algs); err != nil || got.Key.Thumbprint == "" {
			t.Errorf("%s by its own key: %v", p.alg, err)
		}
		if _, err := j.VerifyOwn(token, jose.Algs); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s without its own key: %v", p.alg, err)
		}
	}
}

func TestConfusion(t *testing.T) {
	j := adapter.New()
	r := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	keys := must[[]jose.Key](t)(j.ReadKeys(set(t, gojose.JSONWebKey{Key: r.Public(), KeyID: "r"})))
	b64 := base64.RawURLEncoding.EncodeToString
	none := b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(`{}`)) + "."
	hmac := sign(t, "HS256", r.N.Bytes(), nil, "{}")
	for what, c := range map[string]struct {
		token string
		want  error
	}{
		"none":            {none, jose.ErrAlgorithm},
		"HMAC":            {hmac, jose.ErrAlgorithm},
		"nothing":         {"", jose.ErrMalformed},
		"words":           {"a.b.c", jose.ErrMalformed},
		"two parts":       {"a.b", jose.ErrMalformed},
		"JSON form":       {`{"payload":"e30","signatures":[{"a.b.c":1}]}`, jose.ErrMalformed},
		"a large one":     {strings.Repeat("x", jose.MaxToken) + ".b.c", jose.ErrMalformed},
		"crit":            {b64([]byte(`{"alg":"RS256","crit":["x"],"x":1}`)) + ".e30.AAAA", nil},
		"an unknown alg":  {b64([]byte(`{"alg":"XX999"}`)) + ".e30.AAAA", jose.ErrAlgorithm},
		"alg as a number": {b64([]byte(`{"alg":1}`)) + ".e30.AAAA", jose.ErrMalformed},
	} {
		if _, err := j.Verify(c.token, keys, append(jose.Algs, "none", "HS256")); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if _, err := j.VerifyOwn(c.token, append(jose.Algs, "none", "HS256")); err == nil {
			t.Errorf("%s: verified by its own key", what)
		}
	}
}

func TestReadKeysRefuses(t *testing.T) {
	j := adapter.New()
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	good := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	for what, c := range map[string]struct {
		set  string
		want error
	}{
		"nothing":        {"", jose.ErrMalformed},
		"no keys":        {`{"keys":[]}`, jose.ErrKey},
		"other JSON":     {`[]`, jose.ErrMalformed},
		"a weak key":     {string(set(t, gojose.JSONWebKey{Key: weak.Public()})), jose.ErrKey},
		"a secret key":   {string(set(t, gojose.JSONWebKey{Key: good})), jose.ErrMalformed},
		"a shared key":   {`{"keys":[{"kty":"oct","k":"AAAA"}]}`, jose.ErrMalformed},
		"for encrypting": {string(set(t, gojose.JSONWebKey{Key: good.Public(), Use: "enc"})), jose.ErrKey},
		"too large":      {strings.Repeat(" ", jose.MaxKeys+1), jose.ErrMalformed},
		"too many":       {`{"keys":[` + strings.Repeat("{},", jose.MostKeys) + `{}]}`, jose.ErrMalformed},
	} {
		if _, err := j.ReadKeys([]byte(c.set)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	mixed := set(t, gojose.JSONWebKey{Key: weak.Public()}, gojose.JSONWebKey{Key: good.Public(), KeyID: "g"})
	if keys, err := j.ReadKeys(mixed); err != nil || len(keys) != 1 || keys[0].ID != "g" {
		t.Errorf("%v, %v", keys, err)
	}
}
