package federationtest

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
)

// Algorithms of XML Encryption 1.1.
const (
	AES128CBC    = nsXMLEnc + "aes128-cbc"
	AES192CBC    = nsXMLEnc + "aes192-cbc"
	AES256CBC    = nsXMLEnc + "aes256-cbc"
	AES128GCM    = nsXMLEnc11 + "aes128-gcm"
	AES192GCM    = nsXMLEnc11 + "aes192-gcm"
	AES256GCM    = nsXMLEnc11 + "aes256-gcm"
	RSAOAEPMGF1P = nsXMLEnc + "rsa-oaep-mgf1p"
	RSAOAEP      = nsXMLEnc11 + "rsa-oaep"
	RSA15        = nsXMLEnc + "rsa-1_5"
	MGF1SHA1     = nsXMLEnc11 + "mgf1sha1"
	MGF1SHA256   = nsXMLEnc11 + "mgf1sha256"
	MGF1SHA384   = nsXMLEnc11 + "mgf1sha384"
	MGF1SHA512   = nsXMLEnc11 + "mgf1sha512"
	DigestSHA256 = digestSHA256
)

// Encryption says how an assertion is encrypted.
type Encryption struct {
	Certificate  []byte // of the service provider, DER, with an RSA key
	Data         string // AES256GCM by default
	KeyTransport string // RSAOAEPMGF1P by default
	Digest       string // of RSA-OAEP; left out, and SHA-1, by default
	MGF          string // of RSAOAEP; left out, and SHA-1, by default
	KeyBeside    bool   // puts EncryptedKey beside EncryptedData, with a RetrievalMethod pointing to it
}

var keySizes = map[string]int{AES128CBC: 16, AES192CBC: 24, AES256CBC: 32, AES128GCM: 16, AES192GCM: 24, AES256GCM: 32}

// seal writes the EncryptedAssertion of a document (XML Encryption §3, SAML Core §2.3.4).
func (e Encryption) seal(doc string) (string, error) {
	set(&e.Data, AES256GCM)
	set(&e.KeyTransport, RSAOAEPMGF1P)
	key := make([]byte, keySizes[e.Data])
	if len(key) == 0 {
		return "", fmt.Errorf("federationtest: unknown cipher %q", e.Data)
	}
	rand.Read(key) // it never fails, see crypto/rand
	data, err := encrypt(e.Data, key, []byte(doc))
	if err != nil {
		return "", err
	}
	wrapped, err := e.wrap(key)
	if err != nil {
		return "", err
	}
	id := newID()
	encryptedKey := e.encryptedKey(id, wrapped)
	info, beside := encryptedKey, ""
	if e.KeyBeside {
		info = `<ds:RetrievalMethod Type="` + nsXMLEnc + `EncryptedKey" URI="#` + id + `"></ds:RetrievalMethod>`
		beside = encryptedKey
	}
	return `<saml:EncryptedAssertion xmlns:saml="` + nsAssertion + `"><xenc:EncryptedData xmlns:xenc="` + nsXMLEnc +
		`" Type="` + nsXMLEnc + `Element"><xenc:EncryptionMethod Algorithm="` + e.Data + `"></xenc:EncryptionMethod>` +
		`<ds:KeyInfo xmlns:ds="` + nsSignature + `">` + info + `</ds:KeyInfo>` + cipherData(data) +
		`</xenc:EncryptedData>` + beside + `</saml:EncryptedAssertion>`, nil
}

func (e Encryption) encryptedKey(id string, wrapped []byte) string {
	var w writer
	xencDecl, dsDecl := "", "" // in effect inside the KeyInfo of EncryptedData
	if e.KeyBeside {
		xencDecl, dsDecl = ` xmlns:xenc="`+nsXMLEnc+`"`, ` xmlns:ds="`+nsSignature+`"`
	}
	w.raw(`<xenc:EncryptedKey` + xencDecl + ` Id="` + id + `"><xenc:EncryptionMethod`)
	w.attr("Algorithm", e.KeyTransport)
	w.raw(`>`)
	if e.Digest != "" {
		w.raw(`<ds:DigestMethod` + dsDecl + ` Algorithm="` + e.Digest + `"></ds:DigestMethod>`)
	}
	if e.MGF != "" {
		w.raw(`<xenc11:MGF xmlns:xenc11="` + nsXMLEnc11 + `" Algorithm="` + e.MGF + `"></xenc11:MGF>`)
	}
	w.raw(`</xenc:EncryptionMethod>` + cipherData(wrapped) + `</xenc:EncryptedKey>`)
	return w.String()
}

func cipherData(b []byte) string {
	return `<xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(b) + `</xenc:CipherValue></xenc:CipherData>`
}

func (e Encryption) wrap(key []byte) ([]byte, error) {
	certificate, err := x509.ParseCertificate(e.Certificate)
	if err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	public, isRSA := certificate.PublicKey.(*rsa.PublicKey)
	if !isRSA {
		return nil, errors.New("federationtest: encryption needs an RSA key")
	}
	if e.KeyTransport == RSA15 {
		return rsa.EncryptPKCS1v15(rand.Reader, public, key) //nolint:staticcheck // a test wants to see it refused
	}
	o := &rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
	if e.Digest != "" {
		if o.Hash, err = hashOf(e.Digest); err != nil {
			return nil, err
		}
	}
	if e.MGF != "" {
		if o.MGFHash, err = hashOf(e.MGF); err != nil {
			return nil, err
		}
	}
	return rsa.EncryptOAEPWithOptions(rand.Reader, public, key, o)
}

func encrypt(algorithm string, key, plain []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	if keySizes[algorithm] > 0 && (algorithm == AES128GCM || algorithm == AES192GCM || algorithm == AES256GCM) {
		gcm, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("federationtest: %w", err)
		}
		return gcm.Seal(nil, nil, plain, nil), nil
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	for range padding - 1 {
		plain = append(plain, 0xA5) // XML Encryption §5.2 leaves these octets open
	}
	plain = append(plain, byte(padding))
	out := make([]byte, aes.BlockSize+len(plain))
	rand.Read(out[:aes.BlockSize]) // it never fails, see crypto/rand
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], plain)
	return out, nil
}
