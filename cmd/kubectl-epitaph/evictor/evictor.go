// Package evictor says why kubectl's drain evicts or deletes pods: its client writes the reason
// onto each Eviction, and onto each pod before its deletion.
package evictor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	policyv1client "k8s.io/client-go/kubernetes/typed/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	// chosen are the pods to be deleted.
	chosen map[types.NamespacedName]corev1.Pod

	mu      sync.Mutex
	refused error
}

// Choose names the pods that are to be deleted, as they were found: what has another UID by then is
// another pod.
func (w *words) Choose(all []corev1.Pod) {
	w.chosen = map[types.NamespacedName]corev1.Pod{}
	for _, pod := range all {
		w.chosen[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = pod
	}
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
	return pods{c.CoreV1Interface.Pods(namespace), c.words, namespace}
}

type pods struct {
	corev1client.PodInterface
	*words
	namespace string
}

// Delete writes the reason onto the chosen pod, then deletes that very pod. If that is refused, it
// takes the reason off again: another removal must not inherit it.
func (p pods) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	pod, chosen := p.chosen[types.NamespacedName{Namespace: p.namespace, Name: name}]
	if !chosen {
		return fmt.Errorf("delete pod %s: it was not chosen", name)
	}
	said, held := map[string]*string{}, map[string]*string{}
	for key, value := range p.keys.Annotations(p.reason) {
		said[key], held[key] = &value, nil
		if before, ok := pod.Annotations[key]; ok {
			held[key] = &before
		}
	}
	if err := p.annotate(ctx, pod, said, o.DryRun); err != nil {
		return p.note(err)
	}
	o.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
	err := p.PodInterface.Delete(ctx, name, o)
	if err == nil || apierrors.IsNotFound(err) || len(o.DryRun) > 0 {
		return p.note(err)
	}
	if undo := p.annotate(ctx, pod, held, nil); client.IgnoreNotFound(undo) != nil {
		err = fmt.Errorf("%w. It still carries the reason that was to go with it: %w", err, undo)
	}
	return p.note(err)
}

// annotate sets annotations of exactly this pod; nil removes one. Of another pod of the name, it
// says that this one is not there.
func (p pods) annotate(ctx context.Context, pod corev1.Pod, annotations map[string]*string,
	dryRun []string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID,
		"annotations": annotations}})
	if err != nil {
		return fmt.Errorf("write the patch of pod %s: %w", pod.Name, err)
	}
	_, err = p.Patch(ctx, pod.Name, types.MergePatchType, patch,
		metav1.PatchOptions{DryRun: dryRun})
	var status apierrors.APIStatus
	if errors.As(err, &status) && apierrors.IsInvalid(err) && status.Status().Details != nil {
		for _, c := range status.Status().Details.Causes {
			if c.Field == "metadata.uid" {
				return apierrors.NewNotFound(corev1.Resource("pods"), pod.Name)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("annotate pod %s: %w", pod.Name, err)
	}
	return nil
}
