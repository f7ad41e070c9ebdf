package policytest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/podcache"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// kinds are those whose fields are known, and checked. They are made when they are asked for: they
// take half a megabyte, and this package is part of a program that seldom tests policies.
var kinds = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
})

// Objects are what a cluster has.
type Objects []*unstructured.Unstructured

// ReadObjects reads a file of YAML documents, each an object of any kind, or a List of them.
func ReadObjects(path string) (all Objects, err error) {
	documents, err := documentsOf(path)
	if err != nil {
		return nil, fmt.Errorf("read the objects: %w", err)
	}
	for n, document := range documents {
		var content map[string]any
		if err := yaml.Unmarshal(document, &content); err != nil {
			return nil, fmt.Errorf("read the objects %s: document %d: %w", path, n+1, err)
		}
		some, err := objectsIn(content)
		if err != nil {
			return nil, fmt.Errorf("read the objects %s: document %d: %w", path, n+1, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// documentsOf are the documents of a YAML file that are not empty.
func documentsOf(path string) (all [][]byte, err error) {
	data, err := os.ReadFile(path) //nolint:gosec // whoever runs the command names the file
	if err != nil {
		return nil, err
	}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if len(bytes.TrimSpace(document)) > 0 {
			all = append(all, document)
		}
	}
}

// objectsIn reads an object, or those of a List.
func objectsIn(content map[string]any) (Objects, error) {
	u := &unstructured.Unstructured{Object: content}
	if !u.IsList() {
		o, err := checked(u)
		return Objects{o}, err
	}
	var all Objects
	err := u.EachListItem(func(o runtime.Object) error {
		item, err := checked(o.(*unstructured.Unstructured))
		all = append(all, item)
		return err
	})
	return all, err
}

// checked makes sure that an object can be told from others, and that one of a known kind has no
// field that the kind has not.
func checked(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	gvk := u.GroupVersionKind()
	switch {
	case gvk.Kind == "":
		return nil, errors.New("kind: is missing: write an object as kubectl get -o yaml prints it")
	case gvk.Version == "":
		return nil, fmt.Errorf(
			"apiVersion: of the %s is missing: write it as kubectl get -o yaml prints it",
			gvk.Kind)
	case u.GetName() == "":
		return nil, fmt.Errorf("metadata.name: of the %s is missing", gvk.Kind)
	}
	typed, err := kinds().New(gvk)
	if err != nil {
		return u, nil //nolint:nilerr // a kind that is not known is kept as it is
	}
	data, err := u.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", gvk.Kind, u.GetName(), err)
	}
	unknown, err := json.UnmarshalStrict(data, typed)
	if err := errors.Join(append(unknown, err)...); err != nil {
		return nil, fmt.Errorf("%s %s: %w", gvk.Kind, u.GetName(), err)
	}
	return u, nil
}

// find returns the object of a kind and name.
func (o Objects) find(kind schema.GroupKind, key client.ObjectKey) *unstructured.Unstructured {
	for _, u := range o {
		if u.GroupVersionKind().GroupKind() == kind && u.GetNamespace() == key.Namespace &&
			u.GetName() == key.Name {
			return u
		}
	}
	return nil
}

// supposition is the cluster of these objects, with the caches that a manager with that
// configuration has of them.
func (o Objects) supposition(c config.Config, clk clock.PassiveClock) (webhook.Supposition, error) {
	kept := make(Objects, 0, len(o))
	for _, u := range o {
		k, err := cached(u, c)
		if err != nil {
			return webhook.Supposition{}, err
		}
		kept = append(kept, k)
	}
	return webhook.Supposition{
		Cached: reader{kept}, Live: reader{o}, Mapper: o.mapper(),
		Obituaries: &audit.NodeObituaries{Cache: reader{o}, Clock: clk},
	}, nil
}

// mapper knows the kinds of which there are objects.
func (o Objects) mapper() meta.RESTMapper {
	var versions []schema.GroupVersion
	for _, u := range o {
		versions = append(versions, u.GroupVersionKind().GroupVersion())
	}
	mapper := meta.NewDefaultRESTMapper(versions)
	for _, u := range o {
		scope := meta.RESTScopeRoot
		if u.GetNamespace() != "" {
			scope = meta.RESTScopeNamespace
		}
		mapper.Add(u.GroupVersionKind(), scope)
	}
	return mapper
}

// cached is what the manager's cache keeps of an object.
func cached(u *unstructured.Unstructured, c config.Config) (*unstructured.Unstructured, error) {
	inferrer := c.Inferrer()
	var small runtime.Object
	switch u.GroupVersionKind() {
	case corev1.SchemeGroupVersion.WithKind("Node"):
		node := &corev1.Node{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object,
			node); err != nil {
			return nil, err
		}
		trimmed, err := podcache.TrimNodes(inferrer.ReadsOfNodes())(node)
		if err != nil {
			return nil, err
		}
		small = trimmed.(*corev1.Node)
	case corev1.SchemeGroupVersion.WithKind("Pod"):
		pod := &corev1.Pod{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, pod); err != nil {
			return nil, err
		}
		small = podcache.Kept(pod, inferrer.ReadsOfPods())
	default:
		return u, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(small)
	return &unstructured.Unstructured{Object: content}, err
}

// reader answers the handler's reads out of objects.
type reader struct{ all Objects }

// Get finds one object.
func (r reader) Get(_ context.Context, key client.ObjectKey, obj client.Object,
	_ ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(obj, kinds())
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	u := r.all.find(gvk.GroupKind(), key)
	if u == nil && gvk == corev1.SchemeGroupVersion.WithKind("Namespace") {
		u = bareNamespace(key.Name) // Whatever is in a namespace has one.
	}
	if u == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group,
			Resource: strings.ToLower(gvk.Kind)}, key.Name)
	}
	return convert(u, obj)
}

// bareNamespace is a namespace with the label that an API server gives it.
func bareNamespace(name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind("Namespace")
	u.SetName(name)
	u.SetLabels(map[string]string{corev1.LabelMetadataName: name})
	return u
}

// List returns the objects of a kind that an API server would.
func (r reader) List(_ context.Context, list client.ObjectList,
	options ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(list, kinds())
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	var o client.ListOptions
	o.ApplyOptions(options)
	var items []any
	for _, u := range r.all {
		if u.GroupVersionKind().GroupKind() == gvk.GroupKind() &&
			(o.Namespace == "" || o.Namespace == u.GetNamespace()) &&
			(o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(u.GetLabels()))) &&
			hasFields(u, o.FieldSelector) {
			items = append(items, u.Object)
		}
	}
	content := map[string]any{"items": items}
	if unknown, ok := list.(*unstructured.UnstructuredList); ok {
		unknown.Items = nil
		for _, item := range items {
			unknown.Items = append(unknown.Items,
				unstructured.Unstructured{Object: item.(map[string]any)})
		}
		return nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, list); err != nil {
		return fmt.Errorf("list %s: %w", gvk.Kind, err)
	}
	return nil
}

// hasFields tells whether the object has what a field selector asks for: those that the handler
// asks for are called as the fields are.
func hasFields(u *unstructured.Unstructured, selector fields.Selector) bool {
	if selector == nil {
		return true
	}
	for _, want := range selector.Requirements() {
		if value, _, _ := unstructured.NestedString(u.Object,
			strings.Split(want.Field, ".")...); value != want.Value {
			return false
		}
	}
	return true
}

func convert(u *unstructured.Unstructured, obj client.Object) error {
	if o, ok := obj.(*unstructured.Unstructured); ok {
		u.DeepCopyInto(o)
		return nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
		return fmt.Errorf("read %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}
