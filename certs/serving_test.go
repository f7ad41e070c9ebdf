package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

// write puts a certificate where the kubelet mounts it.
func write(t *testing.T, dir string, c *tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"tls.key": {Type: "PRIVATE KEY", Bytes: key},
		"tls.crt": {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block),
			0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until the serving certificate is c.
func eventually(t *testing.T, s *Serving, c *tls.Certificate) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(
		10 * time.Millisecond) {
		if got, err := s.Current(); err == nil && got.Leaf.Equal(c.Leaf) {
			return
		}
	}
	t.Fatal("the certificate in the folder is not served after a minute")
}

func TestServingFollowsTheFolder(t *testing.T) {
	t.Parallel()
	dir, ours := t.TempDir(), newAuthority(t, "ours")
	s := NewServing(dir, clock.RealClock{})
	_, err := s.Current()
	want := "there is no serving certificate in " + dir +
		": it has not been issued, or its Secret is not mounted"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("before anything is issued: got %v, want %s …", err, want)
	}
	go s.Start(t.Context()) //nolint:errcheck // ends with the test
	for range 2 {
		c := ours.issue(t, host)
		write(t, dir, c)
		eventually(t, s, c)
	}
}
