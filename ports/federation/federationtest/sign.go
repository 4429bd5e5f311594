package federationtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // a test wants to see SHA-1 refused
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
)

// Signature methods (RFC 6931 §2.3).
const (
	RSASHA1     = nsSignature + "rsa-sha1"
	RSASHA256   = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	RSASHA384   = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384"
	RSASHA512   = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
	RSAPSS256   = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"
	ECDSASHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	ECDSASHA384 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
	ECDSASHA512 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512"
)

// Digest methods (RFC 6931 §2.1).
const (
	DigestSHA1   = nsSignature + "sha1"
	digestSHA256 = nsXMLEnc + "sha256"
	DigestSHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384"
	DigestSHA512 = nsXMLEnc + "sha512"
)

const (
	algEnveloped = nsSignature + "enveloped-signature"
	algExclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

func defaultSignatureMethod(key crypto.Signer) string {
	if _, isECDSA := key.Public().(*ecdsa.PublicKey); isECDSA {
		return ECDSASHA256
	}
	return RSASHA256
}

// hashOf returns the hash that a signature or digest method names.
func hashOf(method string) (crypto.Hash, error) {
	switch {
	case strings.HasSuffix(method, "sha1"):
		return crypto.SHA1, nil
	case strings.Contains(method, "sha256"):
		return crypto.SHA256, nil
	case strings.HasSuffix(method, "sha384"):
		return crypto.SHA384, nil
	case strings.HasSuffix(method, "sha512"):
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("federationtest: unknown method %q", method)
}

func digest(h crypto.Hash, s string) []byte {
	w := h.New()
	w.Write([]byte(s))
	return w.Sum(nil)
}

// signInto puts an enveloped signature into a document, all of which it covers.
func (p *IdP) signInto(doc, id string, r Response) (string, error) {
	hash, err := hashOf(r.DigestMethod)
	if err != nil {
		return "", err
	}
	info := signedInfo(r.SignatureMethod, r.DigestMethod, id, digest(hash, doc))
	value, err := sign(p.Key, r.SignatureMethod, canonicalInfo(info))
	if err != nil {
		return "", err
	}
	return insert(doc, `<ds:Signature xmlns:ds="`+nsSignature+`">`+info+
		`<ds:SignatureValue>`+base64.StdEncoding.EncodeToString(value)+`</ds:SignatureValue>`+
		`<ds:KeyInfo><ds:X509Data><ds:X509Certificate>`+base64.StdEncoding.EncodeToString(p.Certificate)+
		`</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`), nil
}

func signedInfo(method, digestMethod, id string, digest []byte) string {
	return `<ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + algExclusive + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + method + `"></ds:SignatureMethod>` +
		`<ds:Reference URI="#` + id + `"><ds:Transforms><ds:Transform Algorithm="` + algEnveloped + `"></ds:Transform>` +
		`<ds:Transform Algorithm="` + algExclusive + `"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + digestMethod + `"></ds:DigestMethod>` +
		`<ds:DigestValue>` + base64.StdEncoding.EncodeToString(digest) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
}

// canonicalInfo gives SignedInfo the namespace declaration that it has as a document of its own.
func canonicalInfo(info string) string {
	return strings.Replace(info, "<ds:SignedInfo>", `<ds:SignedInfo xmlns:ds="`+nsSignature+`">`, 1)
}

func sign(key crypto.Signer, method, octets string) ([]byte, error) {
	hash, err := hashOf(method)
	if err != nil {
		return nil, err
	}
	var opts crypto.SignerOpts = hash
	if strings.HasSuffix(method, "rsa-MGF1") {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	value, err := key.Sign(rand.Reader, digest(hash, octets), opts)
	if err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	if public, isECDSA := key.Public().(*ecdsa.PublicKey); isECDSA {
		return concatenate(value, curveSize(public))
	}
	return value, nil
}

func curveSize(key *ecdsa.PublicKey) int { return (key.Params().N.BitLen() + 7) / 8 }

// concatenate turns an ASN.1 ECDSA signature into r and s at full length (XML Signature §6.4.3).
func concatenate(value []byte, size int) ([]byte, error) {
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(value, &rs); err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	return append(rs.R.FillBytes(make([]byte, size)), rs.S.FillBytes(make([]byte, size))...), nil
}

// verify checks a signature of the service provider. It knows SHA-256 alone.
func verify(certificateKey crypto.PublicKey, method, octets string, value []byte) error {
	sum := digest(crypto.SHA256, octets)
	switch key := certificateKey.(type) {
	case *rsa.PublicKey:
		if method == RSASHA256 && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum, value) == nil {
			return nil
		}
	case *ecdsa.PublicKey:
		if size := curveSize(key); method == ECDSASHA256 && len(value) == 2*size &&
			ecdsa.Verify(key, sum, new(big.Int).SetBytes(value[:size]), new(big.Int).SetBytes(value[size:])) {
			return nil
		}
	}
	return fmt.Errorf("federationtest: the signature of the request does not verify")
}
