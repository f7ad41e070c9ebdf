package wire_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

func TestParseExtended(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		datagram string
		want     wire.Record
	}{
		"least": {"0,0,0,-;\n", wire.Record{Flag: '-', Body: []byte("\n")}},
		"a line of user space": {
			"12,354,3530374,-;hello\n",
			wire.Record{Prefix: 12, Flag: '-', Seq: 354, Micros: 3530374, Body: []byte("hello\n")},
		},
		"the largest prefix": {"2047,1,2,-;x\n",
			wire.Record{Prefix: 2047, Flag: '-', Seq: 1, Micros: 2, Body: []byte("x\n")}},
		"the largest numbers": {
			"6,18446744073709551615,18446744073709551615,-;x\n",
			wire.Record{Prefix: 6, Flag: '-', Seq: math.MaxUint64, Micros: math.MaxUint64,
				Body: []byte("x\n")},
		},
		"release": {
			"6.12.117+deb13-cloud-amd64,6,370,2555721,-;up\n nodename=xyz\n",
			wire.Record{
				Release: []byte("6.12.117+deb13-cloud-amd64"), Prefix: 6, Flag: '-', Seq: 370,
				Micros: 2555721,
				Body:   []byte("up\n nodename=xyz\n"),
			},
		},
		"fragment": {
			"4,355,4417169,-,ncfrag=971/993;tail\n",
			wire.Record{Prefix: 4, Flag: '-', Seq: 355, Micros: 4417169, Offset: 971, Total: 993,
				Body: []byte("tail\n")},
		},
		"caller, emergency, an unknown key, fragment": {
			"4,1,2,c,caller=T12,ncemg=1,later=x/y,ncfrag=0/2000;x",
			wire.Record{Prefix: 4, Flag: 'c', Seq: 1, Micros: 2, Total: 2000, Body: []byte("x")},
		},
		"a piece of a line, by an old kernel": {"4,1,2,+;x\n",
			wire.Record{Prefix: 4, Flag: '+', Seq: 1, Micros: 2, Body: []byte("x\n")}},
		"semicolons in the text": {"4,1,2,-;a;b,c=d;e\n",
			wire.Record{Prefix: 4, Flag: '-', Seq: 1, Micros: 2, Body: []byte("a;b,c=d;e\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := wire.ParseExtended([]byte(c.datagram))
			if !ok {
				t.Fatalf("%q refused", c.datagram)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.datagram, diff)
			}
		})
	}
}

func TestParseExtendedRefuses(t *testing.T) {
	t.Parallel()
	for name, datagram := range map[string]string{
		"nothing":                       "",
		"plain":                         "[    4.758329] Kernel panic - not syncing: x\n",
		"no semicolon":                  "0,1,2,-",
		"no prefix":                     ",1,2,-;x\n",
		"prefix of nine bits facility":  "2048,1,2,-;x\n",
		"negative prefix":               "-0,1,2,-;x\n",
		"signed prefix":                 "+0,1,2,-;x\n",
		"prefix with a zero in front":   "00,1,2,-;x\n",
		"prefix with a blank":           " 0,1,2,-;x\n",
		"hexadecimal prefix":            "0x0,1,2,-;x\n",
		"no seq":                        "0,,2,-;x\n",
		"seq overflows":                 "0,18446744073709551616,2,-;x\n",
		"seq overflows by far":          "0,99999999999999999999,2,-;x\n",
		"seq of 21 digits":              "0,100000000000000000000,2,-;x\n",
		"micros overflow":               "0,1,18446744073709551616,-;x\n",
		"no micros":                     "0,1,-;x\n",
		"micros with a dot":             "0,1,2.5,-;x\n",
		"no flag":                       "0,1,2;x\n",
		"empty flag":                    "0,1,2,;x\n",
		"unknown flag":                  "0,1,2,x;x\n",
		"two flags":                     "0,1,2,--;x\n",
		"empty field":                   "0,1,2,-,;x\n",
		"field without a value":         "0,1,2,-,caller;x\n",
		"field without a key":           "0,1,2,-,=T1;x\n",
		"nine fields":                   "0,1,2,-,a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1;x\n",
		"fragment of nothing":           "0,1,2,-,ncfrag=0/0;x\n",
		"fragment without a total":      "0,1,2,-,ncfrag=0;x\n",
		"fragment at a negative offset": "0,1,2,-,ncfrag=-1/9;x\n",
		"fragment behind the end":       "0,1,2,-,ncfrag=9/9;x\n",
		"fragment beyond the end":       "0,1,2,-,ncfrag=7/8;xy",
		"fragment that overflows":       "0,1,2,-,ncfrag=4294967295/4294967295;xy",
		"fragment of 5 GB":              "0,1,2,-,ncfrag=0/5000000000;x\n",
		"fragment twice":                "0,1,2,-,ncfrag=0/8,ncfrag=0/8;x\n",
		"empty fragment":                "0,1,2,-,ncfrag=3/8;",
		"release with a blank":          "6.1 x,0,1,2,-;x\n",
		"release too long":              "6." + strings.Repeat("1", 63) + ",0,1,2,-;x\n",
		"release alone":                 "6.1;x\n",
		"two releases":                  "6.1,6.1,0,1,2,-;x\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r, ok := wire.ParseExtended([]byte(datagram)); ok {
				t.Errorf("%q accepted: %+v", datagram, r)
			}
		})
	}
}

func TestRecordValue(t *testing.T) {
	t.Parallel()
	// taskname is the name of a process, which has put a line of its own after the target's
	// userdata.
	r, ok := wire.ParseExtended(
		[]byte("6,1,2,-;text nodename=text\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:02.0\n" +
			" nodename=n1\n empty=\n a=b=c\n cpu=1\n taskname=x\n nodename=n2\n\nnoblank=1\n"))
	if !ok {
		t.Fatal("refused")
	}
	if got := string(r.Text()); got != "text nodename=text" {
		t.Errorf("text %q", got)
	}
	for key, want := range map[string]string{
		"SUBSYSTEM": "pci", "DEVICE": "+pci:0000:00:02.0", "nodename": "n1", "empty": "",
		"a": "b=c", "cpu": "1", "taskname": "x",
	} {
		if got, ok := r.Value(key); !ok || string(got) != want {
			t.Errorf("%s is %q, %t; want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"noblank", "text nodename", "", "Nodename"} {
		if got, ok := r.Value(key); ok {
			t.Errorf("there is a %q: %q", key, got)
		}
	}
}

func TestRecordBooted(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for micros, want := range map[uint64]time.Time{
		0:                      now,
		90_000_000:             time.Unix(1_799_999_910, 0),
		math.MaxInt64 / 1000:   now.Add(-math.MaxInt64 / 1000 * 1000),
		math.MaxInt64/1000 + 1: {},
		math.MaxUint64:         {},
	} {
		r := wire.Record{Micros: micros}
		if got := r.Booted(now); !got.Equal(want) {
			t.Errorf("%d µs: booted %v, want %v", micros, got, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                    "",
		`tab\x09back\x5cslash utf8 \xc3\xa9`:  "tab\tback\\slash utf8 é",
		`first line\x0aKernel second line`:    "first line\nKernel second line",
		`\x5cx41 is escaped once`:             `\x41 is escaped once`,
		`cut \x0`:                             `cut \x0`,
		`cut \`:                               `cut \`,
		`\xZZ \X41 \x4G \n and capitals \x4A`: `\xZZ \X41 \x4G \n and capitals \x4A`,
	} {
		if got := string(wire.Unescape(nil, []byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if got := string(wire.Unescape([]byte("kept "), []byte(`\x41`))); got != "kept A" {
		t.Errorf("appended: %q", got)
	}
}
