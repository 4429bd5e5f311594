package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	_ "crypto/sha1" // RSA-OAEP's default digest, where it needs no collision resistance
	"errors"
	"io"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation"
)

// maxEncryptedKeys bounds the RSA operations that one response can ask for: an identity provider encrypts to one
// recipient, in the middle of a change of keys to two.
const maxEncryptedKeys = 4

// dataCipher is a block cipher of XML Encryption §5.2: the length of its key and its mode.
type dataCipher struct {
	keySize int
	open    func(block cipher.Block, data []byte) ([]byte, error)
}

var dataCiphers = map[string]dataCipher{
	nsXMLEnc + "aes128-cbc":   {16, openCBC},
	nsXMLEnc + "aes192-cbc":   {24, openCBC},
	nsXMLEnc + "aes256-cbc":   {32, openCBC},
	nsXMLEnc11 + "aes128-gcm": {16, openGCM},
	nsXMLEnc11 + "aes192-gcm": {24, openGCM},
	nsXMLEnc11 + "aes256-gcm": {32, openGCM},
}

const (
	algOAEPMGF1P = nsXMLEnc + "rsa-oaep-mgf1p"
	algOAEP      = nsXMLEnc11 + "rsa-oaep"
)

// oaepDigests and oaepMGFs are for RSA-OAEP alone, whose security does not rest on collision resistance: SHA-1, the
// default of XML Encryption §5.5.2, stays.
var (
	oaepDigests = map[string]crypto.Hash{
		nsSignature + "sha1": crypto.SHA1,
		algSHA256:            crypto.SHA256,
		"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
		nsXMLEnc + "sha512":                             crypto.SHA512,
	}
	oaepMGFs = map[string]crypto.Hash{
		nsXMLEnc11 + "mgf1sha1":   crypto.SHA1,
		nsXMLEnc11 + "mgf1sha256": crypto.SHA256,
		nsXMLEnc11 + "mgf1sha384": crypto.SHA384,
		nsXMLEnc11 + "mgf1sha512": crypto.SHA512,
	}
)

var errDecrypt = errors.New("it cannot be decrypted with the configured keys")

// opened is what an EncryptedAssertion held, or why that is not known.
type opened struct {
	with      []crypto.Decrypter
	assertion *xmltree.Element
	visible   error // anyone can see it in the document
	err       error // only who decrypts can
}

// open decrypts the assertion once for all connections that the response is tried with: anybody can ask for it, and each
// EncryptedKey costs a private-key operation.
func (r *response) open(encrypted *xmltree.Element, decrypters []crypto.Decrypter) *opened {
	same := r.opened != nil && len(r.opened.with) == len(decrypters) && (len(decrypters) == 0 || &r.opened.with[0] == &decrypters[0])
	if same {
		return r.opened
	}
	o := &opened{with: decrypters}
	data, wrapped, err := readEncrypted(encrypted)
	if err != nil {
		o.visible = err
	} else {
		o.assertion, o.err = decryptAssertion(encrypted, data, wrapped, decrypters)
	}
	r.opened = o
	return o
}

// openAssertion decrypts an EncryptedAssertion, verifies the signature of what is in it, if it has one, and reads it.
//
// Each kind of failure would tell whoever altered a ciphertext something about the plaintext (Jager and Somorovsky 2011).
// That can be anyone where the Response is not signed; and where it is, a provider that put into its own Response what
// another one encrypted for us, since all of them use one key of ours. So until the plaintext itself turns out to be
// signed by the provider, there is one refusal for everything. Of a signed Response the operator's log tells more.
func (r *response) openAssertion(
	encrypted *xmltree.Element, keys []crypto.PublicKey, covered bool, e federation.Expect,
) (a federation.Assertion, err error) {
	o := r.open(encrypted, e.Decryption)
	if o.visible != nil {
		return a, o.visible
	}
	signed := false
	if err = o.err; err == nil {
		signed, err = verifyAssertion(o.assertion, keys, covered)
	}
	authentic := signed && err == nil
	if err == nil {
		a, err = readAssertion(o.assertion, e)
	}
	switch {
	case err == nil:
		a.Encrypted = true
		return a, nil
	case authentic:
		return federation.Assertion{}, err
	case !covered:
		err = errors.New("the Response is not signed, and its encrypted assertion does not decrypt to one that the identity provider signed")
	}
	return federation.Assertion{}, refuse(federation.CodeDecryption, "the encrypted assertion cannot be used: "+err.Error())
}

// encryptedData is an EncryptedData or EncryptedKey: what it was made with and its octets.
type encryptedData struct {
	cipher dataCipher       // of EncryptedData
	oaep   *rsa.OAEPOptions // of EncryptedKey
	octets []byte
}

// readEncrypted reads the EncryptedData and every EncryptedKey that may belong to it. It looks at nothing secret, so
// its refusals may differ.
func readEncrypted(e *xmltree.Element) (data encryptedData, wrapped []encryptedData, err error) {
	element, err := only(e, nsXMLEnc, "EncryptedData")
	if err != nil {
		return data, nil, err
	}
	if element == nil {
		return data, nil, refuse(federation.CodeMalformed, "an EncryptedAssertion without EncryptedData")
	}
	if t, present := element.Attr("Type"); present && t != typeElement {
		return data, nil, refuse(federation.CodeMalformed, "an EncryptedData that does not hold an element")
	}
	method, err := encryptionMethod(element)
	if err != nil {
		return data, nil, err
	}
	var known bool
	if data.cipher, known = dataCiphers[algorithm(method)]; !known {
		return data, nil, refuse(federation.CodeAlgorithm, "an encryption method that is not allowed")
	}
	if data.octets, err = cipherValue(element); err != nil {
		return data, nil, err
	}
	keys, err := encryptedKeys(e, element)
	if err != nil {
		return data, nil, err
	}
	for _, k := range keys {
		key := encryptedData{}
		if key.oaep, err = readOAEP(k); err != nil {
			return data, nil, err
		}
		if key.octets, err = cipherValue(k); err != nil {
			return data, nil, err
		}
		wrapped = append(wrapped, key)
	}
	return data, wrapped, nil
}

// encryptedKeys finds the EncryptedKey elements: inside the KeyInfo of the data or beside the data (SAML Core §2.3.4).
// A RetrievalMethod only points to one of these.
func encryptedKeys(outer, data *xmltree.Element) (keys []*xmltree.Element, err error) {
	info, err := only(data, nsSignature, "KeyInfo")
	if err != nil {
		return nil, err
	}
	wanted := ""
	for _, place := range []*xmltree.Element{info, outer} {
		if place == nil {
			continue
		}
		for c := range place.Elements() {
			switch {
			case c.Is(nsSignature, "RetrievalMethod"):
				wanted, _ = c.Attr("URI")
			case c.Is(nsXMLEnc, "EncryptedKey"):
				if id, _ := c.Attr("Id"); wanted == "" || "#"+id == wanted {
					keys = append(keys, c)
				}
			}
		}
	}
	if len(keys) == 0 {
		return nil, refuse(federation.CodeMalformed, "an EncryptedAssertion without EncryptedKey")
	}
	if len(keys) > maxEncryptedKeys {
		return nil, refuse(federation.CodeTooLarge, "too many EncryptedKey elements")
	}
	return keys, nil
}

func encryptionMethod(e *xmltree.Element) (*xmltree.Element, error) {
	method, err := only(e, nsXMLEnc, "EncryptionMethod")
	if method == nil && err == nil {
		err = refuse(federation.CodeMalformed, "no EncryptionMethod in "+e.Local)
	}
	return method, err
}

// readOAEP reads the parameters of the key transport. RSAES-PKCS1-v1_5 is not allowed: it is a padding oracle.
func readOAEP(key *xmltree.Element) (*rsa.OAEPOptions, error) {
	method, err := encryptionMethod(key)
	if err != nil {
		return nil, err
	}
	alg := algorithm(method)
	if alg != algOAEP && alg != algOAEPMGF1P {
		return nil, refuse(federation.CodeAlgorithm, "a key transport other than RSA-OAEP")
	}
	o := &rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
	for c := range method.Elements() {
		known := false
		switch {
		case c.Is(nsSignature, "DigestMethod"):
			o.Hash, known = oaepDigests[algorithm(c)]
		case c.Is(nsXMLEnc11, "MGF") && alg == algOAEP:
			o.MGFHash, known = oaepMGFs[algorithm(c)]
		case c.Is(nsXMLEnc, "OAEPparams"):
			s, _ := c.Text()
			o.Label, err = decodeBase64(s)
			known = err == nil
		}
		if !known {
			return nil, refuse(federation.CodeAlgorithm, "a parameter of RSA-OAEP that is not allowed")
		}
	}
	return o, nil
}

func cipherValue(e *xmltree.Element) ([]byte, error) {
	data, err := only(e, nsXMLEnc, "CipherData")
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, refuse(federation.CodeMalformed, "no CipherData in "+e.Local)
	}
	value, err := only(data, nsXMLEnc, "CipherValue")
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, refuse(federation.CodeMalformed, "no CipherValue in "+e.Local)
	}
	return base64Text(value)
}

// decryptAssertion tries every decrypter on every wrapped key and parses what the data decrypts to. The assertion gets
// the EncryptedAssertion as parent, whose namespaces it may use (XML Encryption §4.5).
func decryptAssertion(
	outer *xmltree.Element, data encryptedData, wrapped []encryptedData, decrypters []crypto.Decrypter,
) (*xmltree.Element, error) {
	plaintext, err := decrypt(data, wrapped, decrypters)
	if err != nil {
		return nil, errDecrypt
	}
	e, err := xmltree.Parse(string(plaintext), xmltree.Options{Limits: responseLimits, Strict: true, Parent: outer})
	if err != nil {
		return nil, xmlError(err)
	}
	if !e.Is(nsAssertion, "Assertion") {
		return nil, refuse(federation.CodeAssertion, "an EncryptedAssertion that holds no assertion")
	}
	for d := range e.All() {
		switch {
		case d != e && d.Space == nsAssertion && (d.Local == "Assertion" || d.Local == "EncryptedAssertion"),
			d.Is(nsProtocol, "Response"),
			d.Is(nsSignature, "Signature") && d.Parent != e:
			return nil, refuse(federation.CodeWrapping, "an assertion or a Signature inside the encrypted assertion")
		}
	}
	return e, nil
}

func decrypt(data encryptedData, wrapped []encryptedData, decrypters []crypto.Decrypter) ([]byte, error) {
	for _, d := range decrypters {
		for _, w := range wrapped {
			key, err := d.Decrypt(nil, w.octets, w.oaep)
			if err != nil || len(key) != data.cipher.keySize {
				continue
			}
			block, err := aes.NewCipher(key)
			if err != nil {
				continue
			}
			if plaintext, err := data.cipher.open(block, data.octets); err == nil {
				return plaintext, nil
			}
		}
	}
	return nil, errDecrypt
}

// openCBC decrypts AES-CBC with the IV in front (XML Encryption §5.2.2). The last octet says how much is padding.
func openCBC(block cipher.Block, data []byte) ([]byte, error) {
	if len(data) < 2*aes.BlockSize || len(data)%aes.BlockSize != 0 {
		return nil, io.ErrUnexpectedEOF
	}
	plain := make([]byte, len(data)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, data[:aes.BlockSize]).CryptBlocks(plain, data[aes.BlockSize:])
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, errDecrypt
	}
	return plain[:len(plain)-padding], nil
}

// openGCM decrypts AES-GCM with a nonce of 12 octets in front and a tag of 16 at the end (XML Encryption §5.2.4).
func openGCM(block cipher.Block, data []byte) ([]byte, error) {
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if len(data) < gcm.NonceSize() {
		return nil, io.ErrUnexpectedEOF
	}
	return gcm.Open(nil, data[:gcm.NonceSize()], data[gcm.NonceSize():], nil)
}
