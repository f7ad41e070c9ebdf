package lookup

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
)

// Facts gathers what is known besides the record of a pod: its node's record and its Job, as far as
// they may be read.
func (f Finder) Facts(ctx context.Context, pod *v1alpha1.PodObituary) (story.Facts, error) {
	facts := story.Facts{Pod: pod}
	if name := pod.Spec.NodeObituary; name != "" {
		o := &v1alpha1.NodeObituary{}
		found, err := f.get(ctx, client.ObjectKey{Name: name}, o)
		if err != nil {
			return facts, fmt.Errorf("read node obituary %s: %w", name, err)
		}
		if found == there {
			facts.Node = o
		}
	}
	if owners := pod.Spec.Owners; len(owners) > 0 && mayBeJob(owners[0]) {
		var err error
		facts.Job, facts.JobGone, err = f.Job(ctx, pod.Namespace, owners[0].Name)
		return facts, err
	}
	return facts, nil
}

// Job returns a Job; nil if it is gone or may not be read.
func (f Finder) Job(ctx context.Context, namespace,
	name string) (job *batchv1.Job, gone bool, err error) {
	job = &batchv1.Job{}
	found, err := f.get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, job)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("read job %s/%s: %w", namespace, name, err)
	case found == there:
		return job, false, nil
	default:
		return nil, found == missing, nil
	}
}

// mayBeJob reports whether an owner is a Job of Kubernetes, or may be one: old records lack the API
// group.
func mayBeJob(o v1alpha1.Owner) bool {
	return story.IsKind(o, reason.JobKind) || o.APIVersion == "" && o.Kind == reason.JobKind.Kind
}

// found is the outcome of a read that is not an error.
type found uint8

const (
	unseen found = iota
	there
	missing
)

func (f Finder) get(ctx context.Context, key client.ObjectKey, o client.Object) (found, error) {
	switch err := f.Reader.Get(ctx, key, o); {
	case err == nil:
		return there, nil
	case apierrors.IsNotFound(err):
		return missing, nil
	case apierrors.IsForbidden(err):
		return unseen, nil
	default:
		return unseen, err
	}
}
