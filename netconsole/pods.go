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

// terminatePods ends every pod that is bound to the node: first those in the cache, at once, and
// then whatever a live list still shows.
func (r *removal) terminatePods(ctx context.Context) error {
	if _, err := r.confirm(ctx, r.live); err != nil {
		return err
	}
	done := map[types.UID]bool{}
	for _, from := range []client.Reader{r.cache, r.live} {
		pods := &corev1.PodList{}
		if err := from.List(ctx, pods,
			client.MatchingFields{reason.NodeNameField: r.node}); err != nil {
			return fmt.Errorf("list the pods of node %s: %w", r.node, err)
		}
		if err := r.terminateAll(ctx, pods.Items, done); err != nil {
			return err
		}
	}
	return nil
}

// terminateAll terminates the pods that are not done yet, in parallel.
func (r *removal) terminateAll(ctx context.Context, pods []corev1.Pod,
	done map[types.UID]bool) error {
	var (
		workers sync.WaitGroup
		errs    = make([]error, len(pods))
		seats   = make(chan struct{}, r.workers)
	)
	for n := range pods {
		if done[pods[n].UID] {
			continue
		}
		seats <- struct{}{}
		workers.Go(func() {
			defer func() { <-seats }()
			errs[n] = r.guard.Do("pod", func() error {
				return r.terminatePod(ctx, &pods[n])
			})
		})
	}
	workers.Wait()
	for n := range pods {
		done[pods[n].UID] = errs[n] == nil
	}
	return errors.Join(errs...)
}

// terminatePod ends a pod for the kernel's panic, or for the reason that somebody else has given it
// already.
func (r *removal) terminatePod(ctx context.Context, pod *corev1.Pod) error {
	why, err := r.keys.Pod.OnPod(pod)
	if err != nil {
		why = r.reasonFor(pod)
	}
	if err := r.terminator.TerminatePod(ctx, pod, completed(why)); !errors.Is(err,
		termination.ErrGone) {
		return err
	}
	return nil
}

// reasonFor returns the kernel's panic, except for a pod that had finished before. That one did not
// die of the panic: it leaves like any finished pod whose node is gone.
func (r *removal) reasonFor(pod *corev1.Pod) reason.Reason {
	if !reason.Finished(pod) {
		return reason.ForPodsOf(r.node, r.reason())
	}
	f := reason.Facts{Now: r.clock.Now(), Pod: pod, NodeGone: true,
		Remover: reason.Remover{User: reason.ByNetconsole, Actor: reason.PodGC}}
	if why, ok := (reason.Inferrer{Keys: r.keys}).Infer(f); ok {
		return why
	}
	return f.Unknown()
}

// completed fills in what somebody who wrote only the words has left out: their words are a
// request, which we carry out.
func completed(r reason.Reason) reason.Reason {
	if r.Code == "" {
		r.Code = reason.UserRequest
	}
	if r.By == "" {
		r.By = reason.ByNetconsole
	}
	return r
}
