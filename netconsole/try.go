package netconsole

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// try looks for life, round after round, until there is a verdict. It is verdictPending only if the context ended.
func (u *undertaker) try(ctx context.Context, d death) verdict {
	t := &trial{config: u.config.ProofOfDeath, heard: d.heard, spoke: u.habits.answered(d.uid), doubtful: d.doubtful}
	doubted := false
	for {
		start := u.clock.Now()
		node, v := u.same(ctx, d)
		if v != verdictPending {
			return v
		}
		if node != nil {
			s := u.round(ctx, node)
			t.doubtful = d.corroborated().doubtful
			if v := t.weigh(s); v != verdictPending {
				return v
			}
			if s.answered && !doubted {
				doubted = true
				u.events.doubted(d)
			}
		}
		if !u.wait(ctx, u.config.ProofOfDeath.Interval.Duration-u.clock.Since(start)) {
			return verdictPending
		}
	}
}

// same returns the Node if it still is the one that panicked, in the same boot; nil while the cache cannot tell.
func (u *undertaker) same(ctx context.Context, d death) (*corev1.Node, verdict) {
	node := &corev1.Node{}
	err := u.reader.Get(ctx, types.NamespacedName{Name: d.node}, node)
	switch {
	case apierrors.IsNotFound(err), err == nil && node.UID != d.uid:
		return nil, verdictGone
	case err != nil:
		u.log.Info("node not read", "node", d.node, "error", reason.Clean(err.Error()))
		return nil, verdictPending
	case node.Status.NodeInfo.BootID != d.bootID:
		return nil, verdictRebooted
	default:
		return node, verdictPending
	}
}

// round looks for life once.
func (u *undertaker) round(ctx context.Context, node *corev1.Node) signs {
	lease := make(chan string, 1)
	go func() { lease <- u.renewal(ctx, node.Name) }()
	answered := u.answers(ctx, addressesOf(node))
	if answered {
		u.habits.note(node.UID)
	}
	return signs{answered: answered, lease: <-lease, at: u.clock.Now()}
}

// renewal identifies the last renewal of the node's Lease; empty where it cannot be read.
func (u *undertaker) renewal(ctx context.Context, node string) string {
	ctx, cancel := context.WithTimeout(ctx, u.config.ProofOfDeath.Timeout.Duration)
	defer cancel()
	lease := &coordinationv1.Lease{}
	err := u.live.Get(ctx, types.NamespacedName{Namespace: corev1.NamespaceNodeLease, Name: node}, lease)
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		u.log.Info("lease not read", "node", node, "error", reason.Clean(err.Error()))
	}
	if err != nil || lease.Spec.RenewTime == nil {
		return ""
	}
	return lease.Spec.RenewTime.Format(time.RFC3339Nano)
}
