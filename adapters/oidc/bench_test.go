package oidc_test

import (
	"testing"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// BenchmarkRedeem is a code, an id token and userinfo of a provider whose keys are known, without the network; the
// provider's own work, signing among it, is in it.
func BenchmarkRedeem(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256"} {
		b.Run(alg, func(b *testing.B) {
			k, err := federationtest.NewSigningKey(alg)
			if err != nil {
				b.Fatal(err)
			}
			p := newParty(b, federationtest.Script{Key: k})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.redeem(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDiscover finds known metadata.
func BenchmarkDiscover(b *testing.B) {
	p := newParty(b, federationtest.Script{})
	p.discover()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Discover(b.Context(), issuer); err != nil {
				b.Error(err)
			}
		}
	})
}
