package forgeries_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/epitaph-k8s/epitaph/test/forgeries"
)

const captures = "../../netconsole/wire/testdata/captures"

func TestForger(t *testing.T) {
	t.Parallel()
	const token = "c2lnbmVkIGluIHRoZXNlIHRlc3Rz"
	heard, err := forgeries.Recorded(captures)
	if err != nil {
		t.Fatal(err)
	}
	one, err := forgeries.New(heard, forgeries.NearMisses(token), 1)
	if err != nil {
		t.Fatal(err)
	}
	same, err := forgeries.New(heard, forgeries.NearMisses(token), 1)
	if err != nil {
		t.Fatal(err)
	}
	if one.Recorded() < 80 {
		t.Fatalf("the recordings have %d panics", one.Recorded())
	}
	distinct := map[string]bool{}
	total := one.Kinds() * one.Recorded()
	for range total {
		d := one.Next()
		if !bytes.Equal(d, same.Next()) {
			t.Fatal("the same seed makes other forgeries")
		}
		if bytes.Contains(d, []byte("="+token+"\n")) {
			t.Errorf("a forgery has the token: %q", d)
		}
		distinct[string(d)] = true
	}
	if len(distinct) < total*2/3 {
		t.Errorf("of %d forgeries, only %d are distinct", total, len(distinct))
	}
}

// Each number of a header becomes one more and one less.
func TestOffByOne(t *testing.T) {
	t.Parallel()
	const heard, rest = "6.12.117-1,0,365,5281752,-,ncfrag=0/1200;Kernel panic - not syncing: x\n",
		",-,ncfrag=0/1200;Kernel panic - not syncing: x\n"
	f, err := forgeries.New([][]byte{[]byte(heard)}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for range 100 * f.Kinds() {
		made[string(f.Next())] = true
	}
	for _, want := range []string{
		"6.12.117-1,1,365,5281752" + rest, "6.12.117-1,-1,365,5281752" + rest,
		"6.12.117-1,0,364,5281752" + rest, "6.12.117-1,0,366,5281752" + rest,
		"6.12.117-1,0,365,5281751" + rest, "6.12.117-1,0,365,5281753" + rest,
		"6.12.117-1,0,365,5281752,-,ncfrag=1/1200;Kernel panic - not syncing: x\n",
		"6.12.117-1,0,365,5281752,-,ncfrag=0/1199;Kernel panic - not syncing: x\n",
	} {
		if !made[want] {
			t.Errorf("%q was not made", want)
		}
	}
}

func TestNearMissesMiss(t *testing.T) {
	t.Parallel()
	const token = "c2lnbmVkIGluIHRoZXNlIHRlc3Rz"
	if misses := forgeries.NearMisses(token); slices.Contains(misses, token) {
		t.Errorf("the token itself is among its near misses: %q", misses)
	}
}
