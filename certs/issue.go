package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"time"
)

const (
	// lifetime is a renewed certificate's, and its authority's: the same as cert-manager's in the
	// chart.
	lifetime = 90 * 24 * time.Hour
	// clocksDiffer is how far behind ours the API server's clock may be.
	clocksDiffer = time.Hour
	// maxAuthorities bounds how many the API server trusts: a new one and those that are still
	// good.
	maxAuthorities = 4

	certificateBlock = "CERTIFICATE"
)

// issued is a certificate with its key and the authority that has signed it, in PEM.
type issued struct{ certificate, key, authority []byte }

// issue makes a certificate for the names of another, signed by an authority that signs no more.
func issue(like *x509.Certificate, now time.Time) (issued, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, err
	}
	authority := &x509.Certificate{
		Subject: pkix.Name{CommonName: "epitaph-ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, SerialNumber: serial(),
		NotBefore: now.Add(-clocksDiffer), NotAfter: now.Add(lifetime),
	}
	signed, err := x509.CreateCertificate(rand.Reader, authority, authority,
		authorityKey.Public(), authorityKey)
	if err != nil {
		return issued{}, err
	}
	if authority, err = x509.ParseCertificate(signed); err != nil {
		return issued{}, err
	}
	leaf := &x509.Certificate{
		Subject: like.Subject, DNSNames: like.DNSNames, IPAddresses: like.IPAddresses,
		SerialNumber: serial(), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore:   authority.NotBefore, NotAfter: authority.NotAfter,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(),
		authorityKey)
	if err != nil {
		return issued{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return issued{}, err
	}
	return issued{
		certificate: pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: certificate}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		authority:   pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: signed}),
	}, nil
}

// serial is one that no other certificate has: 126 random bits.
func serial() *big.Int {
	bits := make([]byte, 16)
	_, _ = rand.Read(bits) // which never fails: crypto/rand ends the process instead
	bits[0] &= 0x3f
	return new(big.Int).SetBytes(bits)
}

// leafOf is the first certificate of a chain in PEM.
func leafOf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil || block.Type != certificateBlock {
		return nil, errors.New("there is no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// stillGood are the newest of the authorities that have not ended.
func stillGood(authorities []byte, now time.Time) (kept []byte) {
	for n := 1; n < maxAuthorities; {
		var block *pem.Block
		if block, authorities = pem.Decode(authorities); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && now.Before(c.NotAfter) {
			kept = append(kept, pem.EncodeToMemory(block)...)
			n++
		}
	}
	return kept
}
