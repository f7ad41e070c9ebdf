package netconsole

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// kernelLines returns the lines that rules are tested with.
func kernelLines(t testing.TB) (all []string) {
	t.Helper()
	data, err := os.ReadFile("../reason/kernel/testdata/lines.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var lines []struct{ Line string }
	if err := yaml.Unmarshal(data, &lines); err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		all = append(all, l.Line)
	}
	return all
}

// fromProgram returns what a kernel sends when an unprivileged program makes it print: a write to
// /dev/kmsg, whose facility is never the kernel's (devkmsg_write of kernel/printk/printk.c), and
// lines of the kernel's own that begin with other words, or with at most the 15 bytes of the
// program's name. The name is in the dictionary, too, unescaped (sysdata's taskname).
func fromProgram(text string, prefix uint16, seq int) [][]byte {
	name := text[:min(len(text), 15)]
	escaped := func(s string) string {
		var b bytes.Buffer
		for _, c := range []byte(s) {
			if c < ' ' || c >= 0x7f || c == '\\' {
				fmt.Fprintf(&b, `\x%02x`, c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	print := func(prefix int, text string) []byte {
		seq++
		return fmt.Appendf(nil, "%d,%d,%d,-;%s\n epitaph-token=%s\n cpu=0\n taskname=%s\n", prefix,
			seq, 1000*seq, escaped(text), aSecret, name)
	}
	all := [][]byte{print(8+int(prefix)%2040, text)}
	for level := range 8 {
		all = append(all,
			print(level,
				name+
					"[169]: segfault at 0 ip 0000000000401000 sp 00007ffe error 4 in prog[400000+1000]"),
			print(level, "process '"+text+"' started with executable stack"),
			print(level, "audit: type=1701 audit(1.2:3): comm=\""+text+
				"\" reason=\"memory violation\""))
	}
	return all
}

// A program makes the listener hear lines of one kernel.
type program struct {
	sender *sender
	seq    int
}

func aProgram() *program { return &program{sender: aSignedSender()} }

// aSignedSender is a sender whose messages count if they carry its token.
func aSignedSender() *sender {
	node := signed(aNode("n1", "10.0.0.1"))
	s := newSender(node, newMemory(rules))
	s.update(node)
	return s
}

// saysNothing fails if the listener has anything to tell.
func (p *program) saysNothing(t *testing.T, text string, prefix uint16) {
	t.Helper()
	all := fromProgram(text, prefix, p.seq)
	p.seq += len(all)
	for _, d := range all {
		if _, h := p.sender.push(d, startOfBubble); h.trouble != nil {
			t.Fatalf("a program's %q is evidence by the rule %s: %s", text, h.trouble.Rule.ID,
				h.trouble.Line)
		}
	}
}

func TestProgramIsNoEvidence(t *testing.T) {
	t.Parallel()
	p := aProgram()
	for _, line := range kernelLines(t) {
		for n := range 16 {
			p.saysNothing(t, line[:min(n, len(line))], uint16(n))
		}
		p.saysNothing(t, line, 0)
		p.saysNothing(t, "\n SUBSYSTEM="+line, 4)
		p.saysNothing(t, strings.Repeat("a", 1000)+line, 2039)
	}
	if _, h := p.sender.push(fmt.Appendf(nil,
		"3,%d,1,-;critical medium error, dev sda, sector 1\n epitaph-token=%s\n", p.seq,
		aSecret), startOfBubble); h.trouble == nil {
		t.Error("the kernel's own line is none, either")
	}
}

// No line of an unprivileged program becomes evidence, whatever its name and whatever it writes.
func FuzzProgramIsNoEvidence(f *testing.F) {
	for n, line := range kernelLines(f) {
		f.Add(line, uint16(n))
		f.Add(line[:min(len(line), 15)], uint16(8*n))
	}
	p := aProgram()
	f.Fuzz(p.saysNothing)
}

// FuzzKernelLines: whatever a kernel writes, a rule reads it within bounds, and the result fits
// into the evidence.
func FuzzKernelLines(f *testing.F) {
	for _, line := range kernelLines(f) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		s := aSignedSender()
		_, h := s.push(append(append([]byte("3,1,1000,-;"), line...),
			"\n epitaph-token="+aSecret+"\n"...), startOfBubble)
		if h.trouble == nil {
			return
		}
		e := evidenceOf(h.trouble, startOfBubble, "boot-1")
		if e.Detail == "" || !e.Until.After(e.When) || strings.ContainsAny(e.Detail, "\n\x1b\x00") {
			t.Fatalf("%q is %+v", line, e)
		}
	})
}
