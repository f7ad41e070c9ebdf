package webhook

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A Snapshot is the part of a cluster that a question is asked about, as objects from files.
type Snapshot struct {
	Nodes      []corev1.Node
	Pods       []corev1.Pod
	Namespaces []corev1.Namespace
	Budgets    []policyv1.PodDisruptionBudget
}

// WhatIf decides about a request as the webhook would in that cluster, writes nothing, and tells the decision and the rule that
// made it.
func WhatIf(ctx context.Context, c config.Config, req *admissionv1.AdmissionRequest, s Snapshot, clk clock.PassiveClock, out io.Writer) error {
	reader := snapshotReader{s}
	h, err := New(Options{
		Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(), Reader: reader, Live: reader, Obituaries: noObituaries{},
		// A dry run is written nowhere; the writer only tells what was.
		Writer: termination.New(nil, c.Annotations, clk), Clock: clk, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return err
	}
	h.supposes = true
	req = req.DeepCopy()
	dryRun := true
	req.DryRun = &dryRun
	return explain(out, h.handle(ctx, req))
}

// explain prints an outcome, a line a fact.
func explain(out io.Writer, o outcome) error {
	if o.action == actionFault {
		return o.err
	}
	decision := "allowed"
	if o.action == actionDenied {
		decision = "denied"
	}
	lines := [][2]string{
		{"decision", decision},
		{"rule", o.rule},
		{"code", string(o.reason.Code)},
		{"reason", string(o.reason.Text)},
		{"by", o.reason.By},
		{"message", o.message},
	}
	for _, l := range lines {
		if l[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-9s %s\n", l[0], l[1]); err != nil {
			return fmt.Errorf("print the decision: %w", err)
		}
	}
	return nil
}

// snapshotReader answers the handler's reads out of a snapshot.
type snapshotReader struct{ Snapshot }

// Get finds one object.
func (r snapshotReader) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	switch o := obj.(type) {
	case *corev1.Node:
		for n := range r.Nodes {
			if r.Nodes[n].Name == key.Name {
				r.Nodes[n].DeepCopyInto(o)
				return nil
			}
		}
	case *corev1.Pod:
		for n := range r.Pods {
			if client.ObjectKeyFromObject(&r.Pods[n]) == key {
				r.Pods[n].DeepCopyInto(o)
				return nil
			}
		}
	case *metav1.PartialObjectMetadata: // of a namespace
		for n := range r.Namespaces {
			if r.Namespaces[n].Name == key.Name {
				r.Namespaces[n].ObjectMeta.DeepCopyInto(&o.ObjectMeta)
				return nil
			}
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: fmt.Sprintf("%T", obj)}, key.Name)
}

// List returns the objects of a kind; of the pods, those that wait for a node.
func (r snapshotReader) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch l := list.(type) {
	case *corev1.PodList:
		for _, p := range r.Pods {
			if p.Spec.NodeName == "" {
				l.Items = append(l.Items, p)
			}
		}
	case *policyv1.PodDisruptionBudgetList:
		l.Items = r.Budgets
	default:
		return &meta.NoKindMatchError{}
	}
	return nil
}

// noObituaries is the memory of a cluster in which no node has died.
type noObituaries struct{}

func (noObituaries) RecordDeletion(context.Context, *corev1.Node, reason.Reason, string) error {
	return nil
}

func (noObituaries) Find(context.Context, string, time.Time) (reason.Reason, bool, error) {
	return reason.Reason{}, false, nil
}
