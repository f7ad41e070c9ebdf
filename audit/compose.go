package audit

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// The bounds of the CRD's lists: an obituary that the API server refuses would hold up the deletion it is about.
const (
	maxAddresses = 32
	maxEvidence  = 32
	maxCodeBytes = 64
)

// compose writes the obituary of a Node.
func compose(node *corev1.Node, r reason.Reason, left time.Time) (*v1alpha1.NodeObituary, error) {
	if node.UID == "" {
		return nil, errors.New("it has no UID")
	}
	if r.IsZero() {
		return nil, errors.New("there is no reason to record")
	}
	return &v1alpha1.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: obituary.Name(node.Name, node.UID)},
		Spec: v1alpha1.NodeObituarySpec{
			NodeName:  node.Name,
			NodeUID:   node.UID,
			BootID:    node.Status.NodeInfo.BootID,
			Addresses: addresses(node),
			Removed:   metav1.NewTime(left.Truncate(time.Second)),
			Code:      codeOf(r),
			Class:     reason.Code(codeOf(r)).Class().String(),
			Reason:    string(r.Text),
			By:        r.By,
			Evidence:  evidence(node),
		},
	}, nil
}

// codeOf returns the code under which r is filed: the words of somebody who gave none are a request.
func codeOf(r reason.Reason) string {
	code := string(r.Code)
	if code == "" {
		return string(reason.UserRequest)
	}
	return code[:min(len(code), maxCodeBytes)]
}

func addresses(node *corev1.Node) []string {
	var all []string
	for _, a := range node.Status.Addresses[:min(len(node.Status.Addresses), maxAddresses)] {
		all = append(all, a.Address)
	}
	return all
}

// evidence copies the newest pieces. What cannot be read is reported where it is written; here it must not hold up a deletion.
func evidence(node *corev1.Node) []v1alpha1.Evidence {
	found, err := reason.EvidenceOn(node)
	if err != nil {
		return nil
	}
	var all []v1alpha1.Evidence
	for _, e := range found[max(0, len(found)-maxEvidence):] {
		all = append(all, v1alpha1.Evidence{
			What: string(reason.Clean(e.What)), Who: string(reason.Clean(e.Who)), Detail: string(reason.Clean(e.Detail)), When: metav1.NewTime(e.When),
		})
	}
	return all
}
