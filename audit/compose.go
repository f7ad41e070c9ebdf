package audit

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// The bounds of the CRD, which counts characters where these count bytes. An obituary that the API
// server refuses would hold up the deletion that it is about.
const (
	maxAddresses    = 32
	maxAddressBytes = 253
	maxEvidence     = 32
	maxWhatBytes    = 64
	maxCodeBytes    = 64
	maxIDBytes      = 64
	// maxProviderID has room for Azure's, which names the resource by its whole path.
	maxProviderID = 512
)

// compose composes the obituary of a Node. The API server accepts it, whatever the Node says of
// itself.
func compose(node *corev1.Node, r reason.Reason, deletedBy string,
	left time.Time) (*v1alpha1.NodeObituary, error) {
	if node.UID == "" {
		return nil, errors.New("it has no UID")
	}
	if problems := validation.IsDNS1123Subdomain(node.Name); len(problems) > 0 {
		return nil, fmt.Errorf("no Node is called %q",
			reason.CleanTo(node.Name, obituary.MaxNameBytes))
	}
	text := reason.Clean(string(r.Text))
	if text == "" {
		return nil, errors.New("there is no reason to record")
	}
	return &v1alpha1.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: obituary.Name(node.Name, node.UID)},
		Spec: v1alpha1.NodeObituarySpec{
			NodeName:   node.Name,
			NodeUID:    id(node.UID),
			BootID:     id(node.Status.NodeInfo.BootID),
			Pool:       reason.PoolOf(node),
			Kernel:     id(node.Status.NodeInfo.KernelVersion),
			Addresses:  addresses(node),
			ProviderID: reason.CleanTo(node.Spec.ProviderID, maxProviderID),
			Removed:    metav1.NewTime(left.Truncate(time.Second)),
			Code:       obituary.CodeOf(r),
			Class:      reason.Code(obituary.CodeOf(r)).Class().String(),
			Reason:     string(text),
			By:         reason.CleanTo(r.By, reason.MaxByBytes),
			DeletedBy:  reason.CleanTo(deletedBy, reason.MaxByBytes),
			Evidence:   evidence(node),
		},
	}, nil
}

// bare returns the obituary without what the Node had said of itself: the rest is enough to find it
// and to answer from it.
func bare(o *v1alpha1.NodeObituary) *v1alpha1.NodeObituary {
	b := o.DeepCopy()
	b.Spec.Addresses, b.Spec.Evidence, b.Spec.KernelLog, b.Spec.Panic = nil, nil, nil, nil
	b.Spec.Pool, b.Spec.Kernel = "", ""
	b.Spec.ProviderID = ""
	return b
}

// id bounds a UID, a boot ID or a kernel's release: the latter two come from the node.
func id[T ~string](s T) T { return T(reason.CleanTo(string(s), maxIDBytes)) }

func addresses(node *corev1.Node) []string {
	var all []string
	for _, a := range node.Status.Addresses[:min(len(node.Status.Addresses), maxAddresses)] {
		all = append(all, reason.CleanTo(a.Address, maxAddressBytes))
	}
	return all
}

// evidence copies the newest pieces. Invalid evidence is reported where it is written; here it must
// not hold up a deletion.
func evidence(node *corev1.Node) []v1alpha1.Evidence {
	found, err := reason.EvidenceOn(node)
	if err != nil {
		return nil
	}
	var all []v1alpha1.Evidence
	for _, e := range found[max(0, len(found)-maxEvidence):] {
		all = append(all, v1alpha1.Evidence{
			What:   reason.CleanTo(e.What, maxWhatBytes),
			Who:    reason.CleanTo(e.Who, reason.MaxByBytes),
			Detail: string(reason.Clean(e.Detail)),
			When:   obituary.TimeOr(e.When, metav1.Time{}),
		})
	}
	return all
}
