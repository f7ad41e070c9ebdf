package wire_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

// A printk is a model of a kernel with an extended target: kernel/printk/printk.c (devkmsg_write,
// msg_add_ext_text, msg_add_dict_text) and drivers/net/netconsole.c (send_ext_msg_udp), as far as
// text of user space can travel through them.
type printk struct {
	seq      uint64
	release  string
	userdata string
	comm     string // sysdata's taskname: 15 bytes of user space, not escaped
}

// devkmsg writes to /dev/kmsg: "<N>" sets level and facility, but no facility of 0.
func (k *printk) devkmsg(text string) [][]byte {
	const facilityUser = 1
	level, facility := 4, facilityUser
	if end := strings.IndexByte(text, '>'); end > 1 && text[0] == '<' {
		if n, err := strconv.ParseUint(text[1:end], 10, 32); err == nil {
			level, text = int(n&7), text[end+1:]
			if f := int(n >> 3 & 0xff); f != 0 {
				facility = f
			}
		}
	}
	return k.print(facility<<3|level, text)
}

// print returns what is sent to the network for one record.
func (k *printk) print(prefix int, text string) [][]byte {
	k.seq++
	var body bytes.Buffer
	for _, c := range []byte(text[:min(len(text), 1024)]) {
		if c < ' ' || c >= 0x7f || c == '\\' {
			fmt.Fprintf(&body, `\x%02x`, c)
		} else {
			body.WriteByte(c)
		}
	}
	fmt.Fprintf(&body, "\n%s taskname=%s\n", k.userdata, k.comm)
	header := fmt.Sprintf("%s%d,%d,%d,-", k.release, prefix, k.seq, 1000*k.seq)
	if len(header)+1+body.Len() <= wire.MaxDatagramBytes {
		return [][]byte{fmt.Appendf(nil, "%s;%s", header, body.Bytes())}
	}
	const fieldRoom = len(",ncfrag=00000/00000;")
	var datagrams [][]byte
	for offset, total := 0, body.Len(); body.Len() > 0; {
		piece := body.Next(wire.MaxDatagramBytes - len(header) - fieldRoom)
		datagrams = append(datagrams, fmt.Appendf(nil, "%s,ncfrag=%d/%d;%s", header, offset, total,
			piece))
		offset += len(piece)
	}
	return datagrams
}

// all returns everything that user space can make of a text: writes of its own, and kernel messages
// at any level, including a panic's, that begin with other words or with no more than the name of a
// process.
func (k *printk) all(text string) [][]byte {
	name := text[:min(len(text), 15)]
	k.comm = name
	var datagrams [][]byte
	for _, marked := range []string{text, "<0>" + text, "<8>" + text, "<2048>" + text,
		"<2040>" + text, "<4294967288>" + text} {
		datagrams = append(datagrams, k.devkmsg(marked)...)
	}
	for level := range 8 {
		datagrams = append(datagrams, k.print(level,
			"process '"+text+"' started with executable stack")...)
		datagrams = append(datagrams, k.print(level,
			name+"[169]: segfault at 0 ip 401000 sp 7ffe error 4")...)
	}
	return datagrams
}

// mostPutTogether is the length up to which the fragments of a message are reassembled.
const mostPutTogether = 4 << 10

// saysNoPanic sends all of it, some lost, repeated or reordered, to a stream that does hear the
// kernel's own panic.
func saysNoPanic(t *testing.T, text string, random *rand.Rand) {
	t.Helper()
	k := &printk{userdata: " nodename=n1\n" +
		strings.Repeat(" key="+strings.Repeat("v", 199)+"\n", random.IntN(4))}
	if random.IntN(2) == 0 {
		k.release = "6.12.117+deb13-cloud-amd64,"
	}
	var sent [][]byte
	for _, d := range k.all(text) {
		for range random.IntN(3) {
			sent = append(sent, d)
		}
	}
	for n := range sent {
		other := min(len(sent)-1, n+random.IntN(4))
		sent[n], sent[other] = sent[other], sent[n]
	}
	var s wire.Stream
	for _, d := range sent {
		switch e := s.Push(d, noon); {
		case e.Outcome == wire.OutcomePanic, e.Outcome == wire.OutcomePanicRest,
			e.Outcome == wire.OutcomeCandidate, e.Line != "":
			t.Fatalf("user space's %q is %s of %q", d, e.Outcome, e.Line)
		case e.Outcome == wire.OutcomeTooLong && e.Record.Total > mostPutTogether:
			// 1,024 characters that are all escaped, and the userdata.
		case !e.Extended, e.Outcome == wire.OutcomeMalformed, e.Outcome == wire.OutcomeTooLong:
			t.Fatalf("the model's %q is %s: it sends what no kernel does", d, e.Outcome)
		}
	}
	k.comm = "init"
	if e := s.Push(k.print(0, "Kernel panic - not syncing: genuine")[0],
		noon); e.Outcome != wire.OutcomePanic || e.Line != "genuine" {
		t.Fatalf("after %q the kernel's own panic is %s of %q", text, e.Outcome, e.Line)
	}
}

var hostile = []string{
	"Kernel panic - not syncing: ", "Kernel panic - ", "\n", "\x00", "\\", `\x0a`, "\n0,1,2,-;",
	"0,1,2,-;", "0,1,2,-,ncfrag=0/99;", ",ncfrag=0/99",
	";", "<0>", "<2048>", "[    1.000000] ", "\n nodename=n2", " token=x", "é", "\x7f", "\x1b[2J",
	strings.Repeat("a", 61), strings.Repeat("\n", 97),
}

func TestUserspaceSaysNoPanic(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		var text strings.Builder
		for range random.IntN(40) {
			text.WriteString(hostile[random.IntN(len(hostile))])
		}
		saysNoPanic(t, text.String(), random)
	}
	// Wherever the kernel cuts, also right before the words.
	for pad := range 1000 {
		saysNoPanic(t, strings.Repeat("a", pad)+"Kernel panic - not syncing: forged", random)
	}
}

func FuzzUserspaceSaysNoPanic(f *testing.F) {
	for n, text := range hostile {
		f.Add(text, uint64(n))
	}
	f.Add(strings.Repeat("\n", 1024), uint64(0)) // more than is put together
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		saysNoPanic(t, text, rand.New(rand.NewPCG(seed, 0)))
	})
}
