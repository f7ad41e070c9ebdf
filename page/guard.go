package page

import (
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// A guard reads with the visitor's rights: it asks before each read, and refuses as the API server
// would.
type guard struct {
	reader client.Reader
	kept   *Records
	rights *rights
}

var _ client.Reader = (*guard)(nil)

// Get reads one object, if the visitor may.
func (g *guard) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	options ...client.GetOption) error {
	resource, err := resourceOf(o)
	if err != nil {
		return err
	}
	a := authorizationv1.ResourceAttributes{Verb: "get", Group: resource.Group,
		Resource: resource.Resource, Namespace: key.Namespace, Name: key.Name}
	if err := g.ask(ctx, a, resource); err != nil {
		return err
	}
	return g.reader.Get(ctx, key, o, options...)
}

// List reads many objects, if the visitor may read all of them.
func (g *guard) List(ctx context.Context, list client.ObjectList,
	options ...client.ListOption) error {
	resource, err := resourceOf(list)
	if err != nil {
		return err
	}
	wanted := (&client.ListOptions{}).ApplyOptions(options)
	a := authorizationv1.ResourceAttributes{Verb: "list", Group: resource.Group,
		Resource: resource.Resource, Namespace: wanted.Namespace}
	if err := g.ask(ctx, a, resource); err != nil {
		return err
	}
	return g.reader.List(ctx, list, options...)
}

// records returns what is kept of the records of a namespace or, if none is named, of all, if the
// visitor may list them. Those that left until a time, which is zero if there are none, may be
// missing.
func (g *guard) records(ctx context.Context,
	namespace string) (found []*record, missing time.Time, err error) {
	resource, err := resourceOf(&v1alpha1.PodObituaryList{})
	if err != nil {
		return nil, missing, err
	}
	if err := g.ask(ctx, listPods(namespace), resource); err != nil {
		return nil, missing, err
	}
	return g.kept.in(ctx, namespace)
}

// read reads one object.
func (g *guard) read(ctx context.Context, namespace, name string, o client.Object) error {
	return g.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
}

func (g *guard) ask(ctx context.Context, a authorizationv1.ResourceAttributes,
	resource schema.GroupResource) error {
	allowed, err := g.rights.may(ctx, a)
	if err == nil && !allowed {
		err = apierrors.NewForbidden(resource, a.Name, errors.New("the visitor has no right to it"))
	}
	return err
}

// resourceOf knows the kinds that the page reads, and no others.
func resourceOf(o runtime.Object) (schema.GroupResource, error) {
	switch o.(type) {
	case *v1alpha1.PodObituary, *v1alpha1.PodObituaryList:
		return schema.GroupResource{Group: v1alpha1.GroupVersion.Group,
			Resource: "podobituaries"}, nil
	case *v1alpha1.NodeObituary, *v1alpha1.NodeObituaryList:
		return schema.GroupResource{Group: v1alpha1.GroupVersion.Group,
			Resource: "nodeobituaries"}, nil
	case *batchv1.Job:
		return schema.GroupResource{Group: batchv1.GroupName, Resource: "jobs"}, nil
	default:
		return schema.GroupResource{}, fmt.Errorf("the page does not read %T", o)
	}
}
