package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// client issues a certificate that a client shows.
func (a authority) client(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore:   noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
	}
	return tls.Certificate{Certificate: [][]byte{sign(t, template, a.certificate, key, a.key)},
		PrivateKey: key}
}

// A client is heard if its certificate is signed by the authority in the file, as it is now, and
// has one of the names.
func TestClients(t *testing.T) {
	t.Parallel()
	one, other := newAuthority(t, "one"), newAuthority(t, "other")
	dir := t.TempDir()
	file := filepath.Join(dir, "clients.crt")
	write := func(content []byte, at time.Time) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(one.pem, noon)
	config := &tls.Config{Certificates: []tls.Certificate{*one.issue(t, "server")},
		MinVersion: tls.VersionTLS12, Time: func() time.Time { return noon }}
	anyName := config.Clone()
	NewClients(dir, "clients.crt", []string{"kube-apiserver"}).TLS(config)
	NewClients(dir, "clients.crt", nil).TLS(anyName)
	heard := func(config *tls.Config, certificates ...tls.Certificate) bool {
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		ended := make(chan error, 1)
		server := tls.Server(here, config)
		go func() { ended <- server.HandshakeContext(t.Context()); _ = here.Close() }()
		//nolint:gosec // the server is judged by nobody here
		client := tls.Client(there, &tls.Config{InsecureSkipVerify: true,
			Certificates: certificates})
		_ = client.HandshakeContext(t.Context())
		_, _ = client.Read(make([]byte, 1)) // takes what the server has to say
		return <-ended == nil
	}
	apiServer := one.client(t, "kube-apiserver")
	if !heard(config, apiServer) {
		t.Error("the API server is not heard")
	}
	for name, refused := range map[string]bool{
		"nobody":            heard(config),
		"another name":      heard(config, one.client(t, "alice")),
		"another authority": heard(config, other.client(t, "kube-apiserver")),
	} {
		if refused {
			t.Errorf("%s is heard", name)
		}
	}
	if !heard(anyName, one.client(t, "alice")) || heard(anyName, other.client(t, "alice")) {
		t.Error("without names, whoever is signed is to be heard, and nobody else")
	}
	write(other.pem, noon.Add(time.Second))
	if heard(config, apiServer) || !heard(config, other.client(t, "kube-apiserver")) {
		t.Error("the new authority is not noticed")
	}
	authority := NewClients(dir, "clients.crt", nil)
	if err := authority.Check(nil); err != nil {
		t.Errorf("with an authority, Check = %v", err)
	}
	write([]byte("no certificate"), noon.Add(2*time.Second))
	if heard(config, apiServer) {
		t.Error("somebody is heard without an authority")
	}
	if err := authority.Check(nil); err == nil {
		t.Error("without an authority, a replica passes for ready")
	}
}
