package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// A kind is a case.
type kind string

const (
	none    kind = "no webhook"
	skipped kind = "webhook skipped"
	filled  kind = "webhook filling"
)

// settle is how long the API server is given to notice that a webhook came or went.
const settle = 1500 * time.Millisecond

type deletes struct {
	cluster      *bench.Cluster
	remover      *kubernetes.Clientset
	registration *admissionregistrationv1.MutatingWebhookConfiguration
	batch        int
}

func newBench(c *bench.Cluster) (*deletes, error) {
	remover, err := runner(c)
	if err != nil {
		return nil, err
	}
	return &deletes{cluster: c, remover: remover}, nil
}

// turns measures all cases with a number of clients, round by round. The order within a round
// changes with each.
func (b *deletes) turns(ctx context.Context, out io.Writer, clients, pods int) (series, error) {
	all := series{}
	for round := range rounds {
		kinds := []kind{none, skipped, filled}
		for n := range kinds {
			k := kinds[(n+round)%len(kinds)]
			t, err := b.turn(ctx, k, clients, pods)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			all[k] = append(all[k], t)
		}
	}
	for _, k := range []kind{none, skipped, filled} {
		fmt.Fprintf(out,
			"%2d clients, %-16s p50 %6.2f ms, p99 of all %6.2f ms, %6.0f deletes a second (medians of %d rounds of %d)\n",
			clients, k, all.median(k, p50), p99(all.pooled(k)), all.median(k, perSecond), rounds,
			pods)
	}
	return all, nil
}

// turn makes pods and deletes them. They are bound to a node that has no kubelet, and are deleted
// with grace: what is measured is the DELETE that people and controllers send, with nobody else at
// work on the pods.
func (b *deletes) turn(ctx context.Context, k kind, clients, pods int) (turn, error) {
	if err := b.unregister(ctx); err != nil {
		return turn{}, err
	}
	b.batch++
	prefix := fmt.Sprintf("b%d", b.batch)
	if err := b.cluster.AddNodes(ctx, prefix, 1, pods); err != nil {
		return turn{}, err
	}
	names := make([]string, pods)
	for n := range names {
		names[n] = fmt.Sprintf("%s-%d", bench.NodeName(prefix, 0), n)
	}
	if err := b.explain(ctx, names, k == skipped); err != nil {
		return turn{}, err
	}
	if k != none {
		if err := b.register(ctx); err != nil {
			return turn{}, err
		}
	}
	time.Sleep(settle)
	began := time.Now()
	t, err := b.delete(ctx, names, clients)
	if err != nil {
		return t, err
	}
	// A reason that was promised is written after the answer.
	err = wait.PollUntilContextTimeout(ctx, writtenPoll, writtenLimit, true,
		func(ctx context.Context) (bool, error) {
			err = b.check(ctx, names, k)
			t.written = max(time.Since(began), t.whole)
			return err == nil, nil
		})
	if wait.Interrupted(err) {
		err = b.check(ctx, names, k)
	}
	return t, err
}

const (
	// writtenPoll is how often a look is taken whether every reason stands, at most for
	// writtenLimit. A look costs a list of all pods.
	writtenPoll  = 100 * time.Millisecond
	writtenLimit = time.Minute
)

// unregister takes the webhook configuration away, and keeps it.
func (b *deletes) unregister(ctx context.Context) error {
	configurations := b.cluster.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	found, err := configurations.Get(ctx, webhook.ConfigurationName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the webhook configuration: %w", err)
	}
	b.registration = found
	b.registration.ResourceVersion, b.registration.UID = "", ""
	if err := configurations.Delete(ctx, webhook.ConfigurationName,
		metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("take the webhook configuration away: %w", err)
	}
	return nil
}

func (b *deletes) register(ctx context.Context) error {
	_, err := b.cluster.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx,
		b.registration, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("register the webhook: %w", err)
	}
	return nil
}

// explain gives pods a complete reason and the mark of who is going to delete them, with which the
// match condition skips them; or the same words as annotations that say nothing, so that the pods
// of all cases have one size and one history.
func (b *deletes) explain(ctx context.Context, names []string, heard bool) error {
	annotations := reason.DefaultKeys().Pod.Annotations(
		reason.New(reason.Pod, reason.UserRequest, "the benchmark is over", "bench"))
	annotations[reason.WrittenKey] = time.Now().UTC().Format(time.RFC3339) + " asked " +
		bench.Remover
	if !heard {
		mute := map[string]string{}
		for key, value := range annotations {
			mute["example.com/"+path.Base(key)] = value
		}
		annotations = mute
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return fmt.Errorf("encode a reason: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(crowd)
	for _, name := range names {
		group.Go(func() error {
			_, err := b.cluster.Client.CoreV1().Pods(bench.Namespace).Patch(ctx, name,
				types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		})
	}
	return group.Wait()
}

// delete deletes the pods with a number of clients, each of which sends its next one when the last
// was answered.
func (b *deletes) delete(ctx context.Context, names []string, clients int) (turn, error) {
	queue := make(chan string, len(names))
	for _, name := range names {
		queue <- name
	}
	close(queue)
	var mu sync.Mutex
	var t turn
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for range clients {
		group.Go(func() error {
			for name := range queue {
				sent := time.Now()
				if err := b.remover.CoreV1().Pods(bench.Namespace).Delete(ctx, name,
					metav1.DeleteOptions{}); err != nil {
					return fmt.Errorf("delete pod %s: %w", name, err)
				}
				took := time.Since(sent)
				mu.Lock()
				t.latencies = append(t.latencies, took)
				mu.Unlock()
			}
			return nil
		})
	}
	err := group.Wait()
	t.whole = time.Since(began)
	slices.Sort(t.latencies)
	return t, err
}

// check looks whether every pod of the turn was treated as the case says: one that was let go
// without its reason, because the webhook was not asked or failed, would count as a fast one.
func (b *deletes) check(ctx context.Context, names []string, k kind) error {
	want := map[kind]reason.Code{none: "", skipped: reason.UserRequest,
		filled: reason.Unexplained}[k]
	pods, err := b.cluster.Client.CoreV1().Pods(bench.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the pods that were deleted: %w", err)
	}
	codes := map[string]string{}
	for _, pod := range pods.Items {
		codes[pod.Name] = pod.Annotations[reason.DefaultKeys().Pod.Code]
	}
	for _, name := range names {
		if got, found := codes[name]; !found || got != string(want) {
			return fmt.Errorf(
				"pod %s (found: %t) carries code %q, want %q: the webhook was not in the state that was measured", name, found, got, want)
		}
	}
	return nil
}
