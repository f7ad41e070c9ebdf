package netconsole

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// terminatePods ends every pod that is bound to the node: first those that the cache knows, at
// once, and then whatever a live list still shows.
func (b *burial) terminatePods(ctx context.Context) error {
	if _, err := b.confirm(ctx, b.live); err != nil {
		return err
	}
	done := map[types.UID]bool{}
	for _, from := range []client.Reader{b.reader, b.live} {
		pods := &corev1.PodList{}
		if err := from.List(ctx, pods,
			client.MatchingFields{reason.NodeNameField: b.node}); err != nil {
			return fmt.Errorf("list the pods of node %s: %w", b.node, err)
		}
		if err := b.terminateAll(ctx, pods.Items, done); err != nil {
			return err
		}
	}
	return nil
}

// terminateAll terminates in parallel the pods that are not done yet.
func (b *burial) terminateAll(ctx context.Context, pods []corev1.Pod,
	done map[types.UID]bool) error {
	var (
		workers sync.WaitGroup
		errs    = make([]error, len(pods))
		seats   = make(chan struct{}, b.config.Workers)
	)
	for n := range pods {
		if done[pods[n].UID] {
			continue
		}
		seats <- struct{}{}
		workers.Go(func() {
			defer func() { <-seats }()
			errs[n] = b.terminatePod(ctx, &pods[n])
		})
	}
	workers.Wait()
	for n := range pods {
		done[pods[n].UID] = errs[n] == nil
	}
	return errors.Join(errs...)
}

// terminatePod ends a pod for the kernel's panic, or for the reason that somebody else gave it
// before.
func (b *burial) terminatePod(ctx context.Context, pod *corev1.Pod) error {
	r, err := b.keys.Pod.OnPod(pod)
	if err != nil {
		r = b.reasonFor(pod)
	}
	if err := b.terminator.TerminatePod(ctx, pod, completed(r)); !errors.Is(err,
		termination.ErrGone) {
		return err
	}
	return nil
}

// reasonFor is the kernel's panic, but for a pod that had finished before: that did not die of it,
// and what is left of it is what a collector finds of a pod whose node is gone.
func (b *burial) reasonFor(pod *corev1.Pod) reason.Reason {
	if !reason.Finished(pod) {
		return reason.ForPodsOf(b.node, b.reason())
	}
	f := reason.Facts{Now: b.clock.Now(), Pod: pod, NodeGone: true,
		Remover: reason.Remover{User: reason.ByNetconsole, Actor: reason.PodGC}}
	if r, ok := (reason.Inferrer{Keys: b.keys}).Infer(f); ok {
		return r
	}
	return f.Unknown()
}

// completed adds what somebody who wrote only the words has left out: they are a request, and we
// are who carries it out.
func completed(r reason.Reason) reason.Reason {
	if r.Code == "" {
		r.Code = reason.UserRequest
	}
	if r.By == "" {
		r.By = reason.ByNetconsole
	}
	return r
}
