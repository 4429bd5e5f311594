package ripemd_test

import (
	"testing"

	"github.com/portico-sso/portico/adapters/ripemd"
)

func TestDigest(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty text", "", "9c1185a5c5e9fc54612808977ee8f548b2258d31"},
		{"RIPEMD-160 paper: abc", "abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"},
		{"§1.1 connection", "api-boxyhq:api-saml-jackson:https://saml.example.com/entityid", "8d5862f4017db0485b6c079ad3b1ef5003d443e2"},
		{"§13.2 setup link, sso", "tenant-1:product-1:sso", "625fed763c976d9bec796014e945335c92c92ced"},
		{"§13.2 setup link, dsync", "tenant-1:product-1:dsync", "b62cc6652a58f47f7b810d3c741ea41e2470ef5f"},
		{"§13.2 federation app", "api-boxyhq:api-saml-jackson", "799dc50a1126380d2c5ea9e719f37c853e148d24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ripemd.Digest(c.text); got != c.want {
				t.Errorf("Digest(%q) = %s, want %s", c.text, got, c.want)
			}
		})
	}
}
