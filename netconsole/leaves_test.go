package netconsole

import (
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A node shuts down in an orderly way if somebody switches it off in this boot; not if its kernel
// or its hardware is in trouble, as before many a panic.
func TestLeaves(t *testing.T) {
	const boot = "this-boot"
	for name, c := range map[string]struct {
		evidence []reason.Evidence
		ready    corev1.NodeCondition
		want     bool
	}{
		"nothing": {},
		"a reboot": {evidence: []reason.Evidence{
			{What: reason.EvidenceReboot, BootID: boot}}, want: true},
		"the power button": {evidence: []reason.Evidence{
			{What: reason.EvidencePowerButton, BootID: boot}}, want: true},
		"a reboot of an earlier boot": {evidence: []reason.Evidence{
			{What: reason.EvidenceReboot, BootID: "another"}}},
		"an oops": {evidence: []reason.Evidence{
			{What: reason.EvidenceKernel, BootID: boot}}},
		"broken hardware": {evidence: []reason.Evidence{
			{What: reason.EvidenceHardware, BootID: boot}}},
		"a panic": {evidence: []reason.Evidence{
			{What: reason.EvidencePanic, BootID: boot}}},
		"an oops and a reboot": {
			evidence: []reason.Evidence{{What: reason.EvidenceKernel, BootID: boot},
				{What: reason.EvidenceReboot, BootID: boot}}, want: true,
		},
		"its kubelet says so": {
			ready: corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionFalse,
				Message: "node is shutting down"}, want: true,
		},
		"its kubelet is not ready": {
			ready: corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionFalse,
				Message: "no network"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			node := aNode("n1", "10.0.0.1")
			node.Status.NodeInfo.BootID = boot
			node.Status.Conditions = []corev1.NodeCondition{c.ready}
			for n := range c.evidence {
				c.evidence[n].When = time.Now()
			}
			if len(c.evidence) > 0 {
				said, err := json.Marshal(c.evidence)
				if err != nil {
					t.Fatal(err)
				}
				node.Annotations = map[string]string{reason.EvidenceKey: string(said)}
			}
			if got := leaves(node); got != c.want {
				t.Errorf("leaves: %t, want %t", got, c.want)
			}
		})
	}
}
