// Package sign signs files, statements and images so that Sigstore's cosign verifies them with a
// public key: `cosign verify-blob`, `cosign verify-blob-attestation` and `cosign verify`.
//
// Invariant: the same key and content give the same signature. ECDSA's random number is derived
// from the two (RFC 6979), so that a release which is made again is the same in every byte.
//
// What this package does not do: keep keys, or tell anybody of a signature. It asks no transparency
// log; cosign is told so by --insecure-ignore-tlog.
package sign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// PasswordVariable has the password of a key that cosign has made, as it has for cosign.
const PasswordVariable = "COSIGN_PASSWORD"

// A Key signs.
type Key struct{ private *ecdsa.PrivateKey }

// Load reads a private key: ECDSA on P-256, in PEM, as `cosign generate-key-pair` or `openssl
// genpkey` writes it.
func Load(file string) (Key, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return Key{}, fmt.Errorf("read the signing key: %w", err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return Key{}, fmt.Errorf("read the signing key: %s is not in PEM", file)
	}
	parsed, err := parse(block)
	if err != nil {
		return Key{}, fmt.Errorf("read the signing key %s: %w", file, err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return Key{}, fmt.Errorf("read the signing key %s: it is not for ECDSA on P-256: make one "+
			"by cosign generate-key-pair", file)
	}
	return Key{private}, nil
}

func parse(block *pem.Block) (any, error) {
	switch block.Type {
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		bare, err := encrypted.Decrypt(block.Bytes, []byte(os.Getenv(PasswordVariable)))
		if err != nil {
			return nil, fmt.Errorf("decrypt it with the password in %s: %w", PasswordVariable, err)
		}
		return x509.ParsePKCS8PrivateKey(bare)
	default:
		return nil, fmt.Errorf("its PEM block is a %.64q: want a PRIVATE KEY, an EC PRIVATE KEY "+
			"or what cosign makes", block.Type)
	}
}

// Public is the key that verifies, in PEM.
func (k Key) Public() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		return nil, fmt.Errorf("write the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// signature is in ASN.1, over the content's SHA-256.
func (k Key) signature(content []byte) ([]byte, error) {
	digest := sha256.Sum256(content)
	signature, err := k.private.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

// Blob is what `cosign sign-blob --output-signature` writes for a file: the signature in base64.
func (k Key) Blob(content []byte) ([]byte, error) {
	signature, err := k.signature(content)
	if err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(signature)), nil
}

// Envelope signs a statement of in-toto: a DSSE envelope, in JSON.
func (k Key) Envelope(ctx context.Context, payloadType string, statement []byte) ([]byte, error) {
	signer, err := dsse.NewEnvelopeSigner(envelopeKey{k})
	if err != nil {
		return nil, fmt.Errorf("sign a statement: %w", err)
	}
	envelope, err := signer.SignPayload(ctx, payloadType, statement)
	if err != nil {
		return nil, fmt.Errorf("sign a statement: %w", err)
	}
	return json.Marshal(envelope)
}

// An envelopeKey is what dsse signs with. Which key it is, is left open, as cosign does: whoever
// verifies has one.
type envelopeKey struct{ Key }

func (k envelopeKey) Sign(_ context.Context, content []byte) ([]byte, error) {
	return k.signature(content)
}

func (envelopeKey) KeyID() (string, error) { return "", nil }

func (envelopeKey) Verify(context.Context, []byte, []byte) error {
	return errors.New("this key only signs")
}

func (k envelopeKey) Public() crypto.PublicKey { return k.private.Public() }
