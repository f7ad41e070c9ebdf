package netconsole

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/reason"
)

func TestTroubleBecomesEvidence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := signed(aNode("n1", "10.0.0.1"))
		c := aCluster(t, node)
		p, _ := c.aReplica(t, node.UID)
		l := aListener(p, node)
		const token = "\n epitaph-token=" + aSecret + "\n"
		l.hears(t, from1,
			`3,1,1000,-;I/O error, dev sda, sector 4711 op 0x0:(READ) \x1b[2J flags 0x0`+token,
			"3,2,1001,-;I/O error, dev sda, sector 4712 op 0x0:(READ) flags 0x0"+token,
			"11,3,1002,-;mce: [Hardware Error]: said by user space"+token,
			"6,4,1003,-;worker I/O error, dev sda"+token,
			"4,5,1004,-;NVRM: Xid (PCI:0000:81:00): 79, GPU has fallen off the bus."+token)
		found, err := reason.EvidenceOn(c.node(t, "n1"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range found {
			got = append(got, e.What+" "+e.BootID+" "+e.Detail)
		}
		slices.Sort(got)
		want := []string{
			"hardware boot-1 GPU 0000:81:00: fallen off the bus: NVRM: Xid (PCI:0000:81:00): 79, GPU has fallen off the bus.",
			`hardware boot-1 disk sda: I/O error: I/O error, dev sda, sector 4711 op 0x0:(READ) \x1b[2J flags 0x0`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("evidence (-want +got):\n%s", diff)
		}
		time.Sleep(10 * time.Minute)
		l.hears(t, from1, "3,9,2000,-;I/O error, dev sda, sector 99"+token)
		if found, err = reason.EvidenceOn(c.node(t, "n1")); err != nil || len(found) != 3 {
			t.Errorf("%d pieces of evidence (%v) after the period, want 3", len(found), err)
		}
	})
}

// What others could have said in the node's place is no evidence.
func TestTroubleThatMayBeForgedIsNoEvidence(t *testing.T) {
	t.Parallel()
	const trouble = "3,1,1000,-;I/O error, dev sda, sector 4711\n"
	tests := map[string]struct {
		signed    bool
		rebooted  bool
		datagrams []string
		want      int
	}{
		"of a node without a token": {datagrams: []string{trouble}},
		"with the token of an earlier boot": {signed: true, rebooted: true,
			datagrams: []string{trouble + " epitaph-token=" + aSecret + "\n"}},
		"after the plain format": {
			datagrams: []string{"[    1.000000] hello\n", trouble}},
		"with the token": {signed: true,
			datagrams: []string{trouble + " epitaph-token=" + aSecret + "\n"}, want: 1},
		"with a wrong token": {signed: true,
			datagrams: []string{trouble + " epitaph-token=guessed\n"}},
		"without the token that it has": {signed: true, datagrams: []string{trouble}},
		"a forgery does not silence the node": {signed: true,
			datagrams: []string{trouble, strings.Replace(trouble, ",1,", ",2,", 1) +
				" epitaph-token=" + aSecret + "\n"}, want: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := aNode("n1", "10.0.0.1")
				if tc.signed {
					node = signed(node)
				}
				if tc.rebooted {
					node.Status.NodeInfo.BootID = "boot-2"
				}
				c := aCluster(t, node)
				p, _ := c.aReplica(t, node.UID)
				aListener(p, node).hears(t, from1, tc.datagrams...)
				if found, err := reason.EvidenceOn(c.node(t, "n1")); err != nil ||
					len(found) != tc.want {
					t.Errorf("evidence %v (%v), want %d pieces", found, err, tc.want)
				}
			})
		})
	}
}

// A storage that many nodes share fails: nodes whose evidence found no free seat are told of with
// their next line.
func TestTroubleOfManyNodesIsToldLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := signed(aNode("n1", "10.0.0.1"))
		c := aCluster(t, node)
		p, _ := c.aReplica(t, node.UID)
		l := aListener(p, node)
		const token = "\n epitaph-token=" + aSecret + "\n"
		for range maxTroubleWrites {
			p.evidenceSeats <- struct{}{}
		}
		l.hears(t, from1, "3,1,1000,-;I/O error, dev sda, sector 1"+token)
		if found, _ := reason.EvidenceOn(c.node(t, "n1")); len(found) != 0 {
			t.Fatalf("evidence %v, while there is no seat", found)
		}
		<-p.evidenceSeats
		l.hears(t, from1, "3,2,1001,-;I/O error, dev sda, sector 2"+token)
		if found, err := reason.EvidenceOn(c.node(t, "n1")); err != nil || len(found) != 1 {
			t.Errorf("evidence %v (%v), want the second line", found, err)
		}
	})
}
