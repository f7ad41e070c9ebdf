package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// RecordMissing writes an unexplained obituary for a Node that nobody saw go, so that there is something to explain or to
// release it by.
func (o *NodeObituaries) RecordMissing(ctx context.Context, node string, since time.Time) error {
	r := reason.New(reason.Node, reason.Unexplained, reason.UnknownRemover, reason.UnknownRemover)
	record := &v1alpha1.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: missingName(node, since)},
		Spec: v1alpha1.NodeObituarySpec{
			NodeName: node,
			Removed:  metav1.NewTime(since.Truncate(time.Second)),
			Code:     string(r.Code),
			Class:    r.Code.Class().String(),
			Reason:   string(r.Text),
			By:       r.By,
		},
	}
	created, err := o.create(ctx, record)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if created {
		o.Findings.note(record)
	}
	return wrapNode("write the obituary of missing node", node, err)
}

// missingName has the second in which the Node was missed where other obituaries have its UID.
func missingName(node string, since time.Time) string {
	suffix := fmt.Sprintf("-missed%x", since.Unix())
	return strings.TrimRight(node[:min(len(node), obituary.MaxNameBytes-len(suffix))], ".-") + suffix
}
