// Package evictor says why kubectl's drain evicts or deletes pods: its client writes the reason
// onto each Eviction, and onto each pod before its deletion.
package evictor

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	policyv1client "k8s.io/client-go/kubernetes/typed/policy/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A Client says why.
type Client struct {
	kubernetes.Interface
	*words
}

// New returns a client that says why.
func New(c kubernetes.Interface, r reason.Reason, keys reason.Keys) *Client {
	return &Client{c, &words{reason: r, keys: keys}}
}

type words struct {
	reason reason.Reason
	keys   reason.Keys

	mu      sync.Mutex
	refused error
}

// Refused returns the last answer since it was last asked that a right is lacking; nil if there was
// none. kubectl's code keeps no more of an error than its text.
func (w *words) Refused() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.refused
	w.refused = nil
	return last
}

// note remembers that a right is lacking.
func (w *words) note(err error) error {
	if apierrors.IsForbidden(err) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.refused = err
	}
	return err
}

// PolicyV1 is what a drain evicts by.
func (c *Client) PolicyV1() policyv1client.PolicyV1Interface {
	return policy{c.Interface.PolicyV1(), c.words}
}

// CoreV1 is what a drain without evictions deletes by.
func (c *Client) CoreV1() corev1client.CoreV1Interface {
	return core{c.Interface.CoreV1(), c.words}
}

type policy struct {
	policyv1client.PolicyV1Interface
	*words
}

// Evictions are those that say why.
func (p policy) Evictions(namespace string) policyv1client.EvictionInterface {
	return evictions{p.PolicyV1Interface.Evictions(namespace), p.words}
}

type evictions struct {
	policyv1client.EvictionInterface
	*words
}

// Evict says why on the Eviction, by the descheduler's annotation. An eviction that a disruption
// budget refuses leaves nothing on the pod.
func (e evictions) Evict(ctx context.Context, o *policyv1.Eviction) error {
	o = o.DeepCopy()
	metav1.SetMetaDataAnnotation(&o.ObjectMeta, reason.EvictionReasonKey, string(e.reason.Text))
	return e.note(e.EvictionInterface.Evict(ctx, o))
}

type core struct {
	corev1client.CoreV1Interface
	*words
}

// Pods are those that are told why.
func (c core) Pods(namespace string) corev1client.PodInterface {
	return pods{c.CoreV1Interface.Pods(namespace), c.words}
}

type pods struct {
	corev1client.PodInterface
	*words
}

// Delete writes the reason onto the pod, then deletes it.
func (p pods) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": p.keys.Annotations(p.reason)}})
	if err != nil {
		return fmt.Errorf("write the patch of pod %s: %w", name, err)
	}
	if _, err := p.Patch(ctx, name, types.MergePatchType, patch,
		metav1.PatchOptions{DryRun: o.DryRun}); err != nil {
		return p.note(fmt.Errorf("annotate pod %s: %w", name, err))
	}
	return p.note(p.PodInterface.Delete(ctx, name, o))
}
