package wire

// White-box: FuzzStream counts the memory that is kept.

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"testing"
	"time"
)

var fuzzSeeds = []string{
	"6,374,4297048,-;netconsole: network logging started\n nodename=xyz\n token=s3cr3t\n cpu=0\n taskname=init\n",
	"0,377,5581801,-;Kernel panic - not syncing: sysrq triggered crash\n",
	"6.12.117+deb13-cloud-amd64,0,373,3708659,-,caller=T1,ncfrag=0/1300;Kernel panic - not syncing: x\n key=v",
	"6.12.117+deb13-cloud-amd64,0,373,3708659,-,caller=T1,ncfrag=40/1300;vvv",
	"4,355,4417169,-,ncfrag=971/993;bbbbbbbbbbbbb\\x0aKern\n",
	"[    4.238373] Kernel panic - not syncing: forged b\n",
	"<0>[    4.238373][   T12] Kernel panic - not syncing: x\n",
	"** 5 printk messages dropped **\n[    1.000000] Kernel panic - not syncing: x\n",
	"0,391,3299767,-;---[ end Kernel panic - not syncing: sysrq triggered crash ]---\n",
	"18446744073709551616,1,2,-;overflow\n",
	"0,1,2,-,ncfrag=4294967295/4294967295;overflow",
}

// aPanic is what a panic must look like, defined a second time and in another way. The kernel's
// first fragment is the one at offset 0.
var aPanic = regexp.MustCompile(
	`^(?:[!-+\--:<-~]*\.[!-+\--:<-~]*,)?0,\d+,\d+,-((?:,[^,;=]+=[^,;]*)*);Kernel panic - not syncing: [ -~]*(?:\n|$)`)

var offsetNotZero = regexp.MustCompile(`,ncfrag=[1-9]`)

func maySayPanic(datagram []byte) bool {
	m := aPanic.FindSubmatch(datagram)
	return m != nil && !offsetNotZero.Match(m[1])
}

func FuzzParse(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		before := bytes.Clone(datagram)
		r, ok := ParseExtended(datagram)
		if !bytes.Equal(before, datagram) {
			t.Fatal("the datagram was changed")
		}
		if !ok {
			return
		}
		if r.Prefix > maxPrefix || len(r.Release) > maxReleaseBytes ||
			uint64(r.Offset)+uint64(len(r.Body)) > uint64(r.Total) && r.Total != 0 {
			t.Fatalf("%q became %+v", datagram, r)
		}
		if !bytes.HasSuffix(datagram, r.Body) {
			t.Fatalf("%q has another body: %q", datagram, r.Body)
		}
		if announces(&r) && !maySayPanic(datagram) {
			t.Fatalf("%q is a panic", datagram)
		}
		if text := Unescape(nil, r.Text()); len(text) > len(r.Text()) {
			t.Fatalf("%q grew to %q", r.Text(), text)
		}
		r.Value("nodename")
		r.Booted(time.Unix(1_800_000_000, 0))
	})
}

// FuzzStream reads datagrams from the fuzzer's bytes: a byte of time that passes, two of length,
// and as many of datagram.
func FuzzStream(f *testing.F) {
	var all []byte
	for _, seed := range fuzzSeeds {
		one := append(binary.BigEndian.AppendUint16([]byte{1}, uint16(len(seed))), seed...)
		all = append(all, one...)
		f.Add(one)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, input []byte) {
		var s Stream
		now := time.Unix(1_800_000_000, 0)
		for len(input) >= 3 {
			now = now.Add(time.Duration(input[0]) * 10 * time.Millisecond)
			length := min(int(binary.BigEndian.Uint16(input[1:])), len(input)-3)
			datagram := input[3 : 3+length]
			input = input[3+length:]
			e := s.Push(datagram, now)
			if e.Outcome.String() == "invalid" {
				t.Fatalf("%q has no outcome", datagram)
			}
			if e.Outcome == OutcomePanic && !maySayPanic(datagram) {
				t.Fatalf("%q is a panic", datagram)
			}
			if got := kept(&s); got > MaxStreamBytes {
				t.Fatalf("%d bytes are kept", got)
			}
		}
		for _, line := range s.Lines() {
			if len(line) > maxRingLine {
				t.Fatalf("a line of %d bytes", len(line))
			}
		}
	})
}
