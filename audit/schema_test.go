package audit

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/crdschema"
)

// maxNodeBytes bounds the obituary of a node: its kernel's last lines and its evidence, with the
// overhead of JSON.
const maxNodeBytes = 256 << 10

func nodeSchema(t testing.TB) crdschema.Schema {
	t.Helper()
	return crdschema.Read(t, "../charts/epitaph/crds/epitaph-k8s.io_nodeobituaries.yaml")
}

// A collecting API server takes all that is written, and has nothing.
type collecting struct {
	client.Client
	written []*v1alpha1.NodeObituary
}

func (c *collecting) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	c.written = append(c.written, o.(*v1alpha1.NodeObituary).DeepCopy())
	return nil
}

func (*collecting) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return nil
}

// recordings returns all the records made of a node that says that of itself.
func recordings(t testing.TB, node *corev1.Node, r reason.Reason, e reason.Evidence,
	kernelLog []string) []*v1alpha1.NodeObituary {
	t.Helper()
	api := &collecting{}
	o := &NodeObituaries{Cache: api, Live: api, Writer: api,
		Clock: clocktesting.NewFakePassiveClock(noon)}
	if err := o.Record(t.Context(), node, r); err != nil {
		t.Fatal(err)
	}
	setKernelLog(&api.written[0].Spec, printable(kernelLog))
	l := Late{Evidence: e, Reason: r, KernelLog: kernelLog}
	if _, _, err := o.RecordLate(t.Context(), node, l); err != nil {
		t.Fatal(err)
	}
	return api.written
}

func TestEvidenceWithoutTimeIsRecorded(t *testing.T) {
	t.Parallel()
	node := deadNode(func(n *corev1.Node) {
		n.Annotations = map[string]string{
			reason.EvidenceKey: `[{"what":"hardware","detail":"disk sda"},{"what":"halt","when":"9999-12-31T23:59:59-12:00"}]`}
	})
	for _, o := range recordings(t, node, reason.New(reason.Node, reason.HardwareFailure,
		"disk sda", ""), reason.Evidence{BootID: "b"}, nil) {
		nodeSchema(t).Accepts(t, o, maxNodeBytes)
		if len(o.Spec.Evidence) != 2 || o.Spec.Evidence[0].Detail != "disk sda" {
			t.Errorf("the evidence on record is %+v, want both pieces", o.Spec.Evidence)
		}
	}
}

func TestHostileNodesHaveObituaries(t *testing.T) {
	t.Parallel()
	evil := strings.Repeat("\x1b]0;owned\x07<script>alert(1)</script>\u202e", 30_000)
	piece := evil[:600]
	annotation, err := json.Marshal(
		[]reason.Evidence{{What: piece, Who: piece, Detail: piece, BootID: piece,
			Source: piece}})
	if err != nil {
		t.Fatal(err)
	}
	node := deadNode(func(n *corev1.Node) {
		n.UID, n.Name = types.UID(evil), strings.Repeat("a.", 126)+"b"
		n.Annotations = map[string]string{reason.EvidenceKey: string(annotation)}
		n.Status.NodeInfo.BootID, n.Spec.ProviderID = evil, evil
		n.Status.Addresses = make([]corev1.NodeAddress, 100)
		for i := range n.Status.Addresses {
			n.Status.Addresses[i].Address = evil
		}
	})
	r := reason.Reason{Code: reason.Code(evil), Text: reason.Text(evil), By: evil}
	late := reason.Evidence{What: evil, Who: evil, Detail: evil, BootID: evil, Source: evil}
	log := make([]string, 1000)
	for i := range log {
		log[i] = evil
	}
	for _, o := range recordings(t, node, r, late, log) {
		nodeSchema(t).Accepts(t, o, maxNodeBytes)
	}
}

func FuzzNodeObituaryIsAccepted(f *testing.F) {
	by := nodeSchema(f)
	f.Add("n1", "8f6f7c1e", "boot-1", "10.0.0.1",
		`[{"what":"halt","who":"bob","when":"2026-11-23T12:00:00Z"}]`, "by", "text", "Code", "line",
		int64(0), uint8(1))
	f.Add("a.b", "\x00", "!", "\xff", `[{"what":"panic"},{"when":"0000-01-01T00:00:00+23:59"}]`,
		"é", "\u2028", "", "\x1b[2J", int64(1)<<62, uint8(255))
	f.Fuzz(func(t *testing.T, name, uid, boot, address, evidence, actor, text, code, line string,
		when int64, n uint8) {
		if len(validation.IsDNS1123Subdomain(name)) > 0 || uid == "" || reason.Clean(text) == "" {
			return // no Node has that name or no UID, or there is nothing to record
		}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid),
			Annotations: map[string]string{reason.EvidenceKey: evidence}}}
		node.Status.NodeInfo.BootID = boot
		var log []string
		for range n {
			node.Status.Addresses = append(node.Status.Addresses,
				corev1.NodeAddress{Address: address})
			log = append(log, line)
		}
		e := reason.Evidence{What: code, Who: actor, Detail: line, BootID: boot,
			When: time.Unix(when, 0), Source: line}
		for _, o := range recordings(t, node,
			reason.Reason{Code: reason.Code(code), Text: reason.Text(text), By: actor}, e, log) {
			by.Accepts(t, o, maxNodeBytes)
		}
	})
}
