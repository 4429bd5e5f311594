package middleware

import (
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// ClientCertificate reads the certificate of a TLS client, in DER, from the header in which a trusted proxy forwards it.
// What comes from elsewhere is not believed: anybody can send a header.
func ClientCertificate(header string, trusted []netip.Prefix) func(*http.Request) []byte {
	return func(r *http.Request) []byte {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		values := r.Header.Values(header)
		if header == "" || err != nil || len(values) != 1 || !isTrusted(host, trusted) {
			return nil
		}
		return forwarded(values[0])
	}
}

// forwarded reads the forms that proxies write: a byte sequence between colons (RFC 9440 §2.1), Envoy's Cert="…" of the last
// hop, PEM with its characters escaped as in a URL, bare base64.
func forwarded(text string) []byte {
	text = strings.TrimSpace(text)
	if i := strings.LastIndex(text, `Cert="`); i >= 0 {
		text, _, _ = strings.Cut(text[i+len(`Cert="`):], `"`)
	}
	if inner, ok := strings.CutPrefix(text, ":"); ok {
		return decoded(strings.TrimSuffix(inner, ":"))
	}
	if plain, err := url.PathUnescape(text); err == nil && strings.Contains(plain, "-----BEGIN") {
		if block, _ := pem.Decode([]byte(plain)); block != nil && block.Type == "CERTIFICATE" {
			return block.Bytes
		}
		return nil
	}
	return decoded(text)
}

func decoded(text string) []byte {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return der
}
