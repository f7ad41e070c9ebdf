package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"testing"
	"time"
)

// A renewed certificate is for the names of the one before, and its own authority verifies it.
func TestIssue(t *testing.T) {
	t.Parallel()
	before := &x509.Certificate{DNSNames: []string{"epitaph-webhook.ns.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1).To4()}}
	made, err := issue(before, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(made.certificate, made.key); err != nil {
		t.Errorf("certificate and key: %v", err)
	}
	leaf, err := leafOf(made.certificate)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(leaf.DNSNames, before.DNSNames) || len(leaf.IPAddresses) != 1 {
		t.Errorf("it is for %v and %v", leaf.DNSNames, leaf.IPAddresses)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(made.authority)
	for name, tc := range map[string]struct {
		at   time.Time
		good bool
	}{
		"on a clock that is behind": {noon.Add(-50 * time.Minute), true},
		"to the end":                {noon.Add(90*24*time.Hour - time.Minute), true},
		"after it":                  {noon.Add(90*24*time.Hour + time.Minute), false},
	} {
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: "epitaph-webhook.ns.svc", Roots: roots,
			CurrentTime: tc.at})
		if (err == nil) != tc.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, want := renewAt(leaf), noon.Add(60*24*time.Hour); got.Before(want.Add(-time.Hour)) ||
		got.After(want) {
		t.Errorf("it is renewed at %v, want some minutes before %v", got, want)
	}
}

// Of the authorities before, those that have ended go, and so do the oldest of too many.
func TestStillGood(t *testing.T) {
	t.Parallel()
	var all []byte
	var newest string
	for i := range 6 {
		made, err := issue(&x509.Certificate{}, noon.AddDate(0, -i, 0))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, made.authority...)
		if i == 0 {
			newest = string(made.authority)
		}
	}
	count := func(bundle []byte) int {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(bundle)
		return len(pool.Subjects()) //nolint:staticcheck // the pool is none of the system's
	}
	for name, tc := range map[string]struct {
		now  time.Time
		want int
	}{
		"three are left":    {noon, 3},
		"two have ended":    {noon.AddDate(0, 2, 0), 1},
		"all have ended":    {noon.AddDate(1, 0, 0), 0},
		"none has to end":   {noon.AddDate(-1, 0, 0), maxAuthorities - 1},
		"one is at its end": {noon.Add(89 * 24 * time.Hour), 1},
	} {
		kept := stillGood(all, tc.now)
		if got := count(kept); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
		if tc.want > 0 && string(kept[:len(newest)]) != newest {
			t.Errorf("%s: the newest is not the first", name)
		}
	}
	if kept := stillGood([]byte("no certificate"), noon); len(kept) != 0 {
		t.Errorf("of no certificate, %q is kept", kept)
	}
}
