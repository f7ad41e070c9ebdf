package doctor

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

const (
	// positionName is the ConfigMap that holds how far the record is complete
	// (recorder.PositionName; a test compares them), and positionKey the revision in it.
	positionName = "epitaph-audit"
	positionKey  = "recordedUpTo"
	// quiet is how long it may stay as it is. It moves with every pod; where none does, with the
	// bookmarks that the API server sends about once a minute.
	quiet = 2 * time.Minute
	// stuck is how long it stays as it is where something is broken. etcd forgets after 5 minutes
	// what the recorder has not seen.
	stuck = 5 * time.Minute
)

// recorder checks how long ago the leader noted how far the record is complete.
func recorder(ctx context.Context, p *patient) []Diagnosis {
	const what = "recorder"
	m := &corev1.ConfigMap{}
	err := p.Get(ctx, client.ObjectKey{Namespace: p.system, Name: positionName}, m)
	switch {
	case apierrors.IsNotFound(err):
		return []Diagnosis{{Dubious, what, "there is no ConfigMap " + p.system + "/" +
			positionName + ": nothing has been recorded yet, or audit.enabled is false"}}
	case err != nil:
		return []Diagnosis{{Unseen, what, err.Error()}}
	}
	return []Diagnosis{recorded(m, p.serverTime())}
}

func recorded(m *corev1.ConfigMap, now time.Time) Diagnosis {
	const what = "recorder"
	age := max(0, now.Sub(written(m))).Round(time.Second)
	found := fmt.Sprintf("the record is complete up to revision %s, as was noted %s ago",
		terminal.Clean(m.Data[positionKey]), age)
	switch {
	case age > stuck:
		return Diagnosis{Broken, what, found +
			": nothing is recorded any more. Look at the leader's log; it cannot write records, or cannot watch the pods"}
	case age > quiet:
		return Diagnosis{Dubious, what, found +
			": longer than it should stay as it is. Who left since may be on record later, or not: look at the leader's log"}
	default:
		return Diagnosis{Well, what, found}
	}
}

// written returns when the object was last changed, by the API server's clock.
func written(o metav1.Object) time.Time {
	last := o.GetCreationTimestamp().Time
	for _, f := range o.GetManagedFields() {
		if f.Time != nil && f.Time.After(last) {
			last = f.Time.Time
		}
	}
	return last
}
