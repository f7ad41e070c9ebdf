package audit

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxLogLines is the bound of the CRD's list.
	maxLogLines = 256
	// maxLogBytes bounds all lines together: etcd takes objects of up to 1.5 MiB, and every replica
	// caches each record.
	maxLogBytes = 64 << 10
)

// RecordPanic records what the node leaves with, and the newest of the kernel's last lines, as far
// as there is room. If several replicas heard the kernel, the longest log is kept. It is called
// before we delete the Node ourselves.
func (o *NodeObituaries) RecordPanic(ctx context.Context, node *corev1.Node, r reason.Reason,
	kernelLog []string) error {
	if err := o.RecordDeletion(ctx, node, r, reason.OwnDeleter(r.By)); err != nil {
		return err
	}
	held := &v1alpha1.NodeObituary{}
	key := client.ObjectKeyFromObject(&v1alpha1.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: obituary.Name(node.Name, node.UID)}})
	if err := o.Live.Get(ctx, key, held); err != nil {
		if NotInstalled(err) { // it was refused, which was reported
			return nil
		}
		return wrapNode("read the obituary of node", node.Name, err)
	}
	lines := printable(kernelLog)
	if len(lines) <= len(held.Spec.KernelLog) {
		return nil
	}
	before := held.DeepCopy()
	setKernelLog(&held.Spec, lines)
	return wrapNode("add the kernel's log to the obituary of node", node.Name,
		o.patch(ctx, held, client.MergeFrom(before)))
}

// setKernelLog sets the lines, which are [printable], and what is read from them.
func setKernelLog(s *v1alpha1.NodeObituarySpec, lines []string) {
	s.KernelLog, s.Panic = lines, obituary.TraceOf(lines)
}

// printable makes lines harmless for whoever reads the obituary on a terminal, and keeps the newest
// that there is room for.
func printable(kernelLog []string) []string {
	var lines []string
	size := 0
	for _, line := range slices.Backward(kernelLog[max(0, len(kernelLog)-maxLogLines):]) {
		text := string(reason.Clean(line))
		if size += len(text); size > maxLogBytes {
			break
		}
		lines = append(lines, text)
	}
	slices.Reverse(lines)
	return lines
}
