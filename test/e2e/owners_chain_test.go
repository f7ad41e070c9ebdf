package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	record "github.com/epitaph-k8s/epitaph/audit/obituary"
)

// A definedKind is a kind that a test has defined.
type definedKind struct {
	schema.GroupVersionKind
	resource string
	// status is set if its status is a subresource.
	status bool
}

func kindOf(group, resource string) definedKind {
	singular := strings.TrimSuffix(resource, "s")
	return definedKind{schema.GroupVersionKind{Group: group, Version: "v1",
		Kind: strings.ToUpper(singular[:1]) + singular[1:]}, resource, false}
}

func (k definedKind) definition() *apiextensionsv1.CustomResourceDefinition {
	version := apiextensionsv1.CustomResourceDefinitionVersion{
		Name: "v1", Served: true, Storage: true,
		Schema: &apiextensionsv1.CustomResourceValidation{
			OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object",
				XPreserveUnknownFields: ptr.To(true)}},
	}
	if k.status {
		version.Subresources = &apiextensionsv1.CustomResourceSubresources{
			Status: &apiextensionsv1.CustomResourceSubresourceStatus{}}
	}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: k.resource + "." + k.Group,
			// Groups below k8s.io want an approval (KEP-2337).
			Annotations: map[string]string{"api-approved.kubernetes.io": "unapproved, a test"}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: k.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: k.resource,
				Singular: strings.ToLower(k.Kind), Kind: k.Kind, ListKind: k.Kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{version},
		},
	}
}

// serveKinds has the API server serve the kinds, with any content.
func (c *cluster) serveKinds(t *testing.T, kinds ...definedKind) {
	t.Helper()
	var definitions []*apiextensionsv1.CustomResourceDefinition
	for _, k := range kinds {
		definitions = append(definitions, k.definition())
	}
	if _, err := envtest.InstallCRDs(c.RESTConfig(), envtest.CRDInstallOptions{
		CRDs: definitions, MaxTime: patience}); err != nil {
		t.Fatal(err)
	}
}

// defineKinds has the API server serve a kind of each resource.
func (c *cluster) defineKinds(t *testing.T, group string, resources ...string) (all []definedKind) {
	t.Helper()
	for _, resource := range resources {
		all = append(all, kindOf(group, resource))
	}
	c.serveKinds(t, all...)
	return all
}

// owner makes an object of a kind that another controls, if one is given, and returns the reference
// to it.
func (c *cluster) owner(t *testing.T, ns string, kind definedKind,
	above *metav1.OwnerReference) *metav1.OwnerReference {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind.GroupVersionKind)
	u.SetName("of-" + strings.ToLower(kind.Kind))
	if above != nil {
		u.SetOwnerReferences([]metav1.OwnerReference{*above})
	}
	objects := c.dynamic(t).Resource(kind.GroupVersion().WithResource(kind.resource)).Namespace(ns)
	c.eventually(t, kind.Kind+" is served", func(ctx context.Context) (bool, error) {
		made, err := objects.Create(ctx, u, metav1.CreateOptions{})
		if err == nil {
			u = made
		}
		return err == nil, nil
	})
	return metav1.NewControllerRef(u, kind.GroupVersionKind)
}

func named(ref *metav1.OwnerReference) string {
	return ref.APIVersion + " " + ref.Kind + " " + ref.Name
}

// wantChain has a pod of an owner deleted, and checks which owners its record names.
func (c *cluster) wantChain(t *testing.T, ns, pod string, ref *metav1.OwnerReference,
	want ...string) {
	t.Helper()
	var got []string
	c.create(t, podSpec(ns, "nowhere", pod, func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{*ref}
	}))
	c.insistsOnDeleting(t, c.as(t, runner), ns, pod)
	spec := c.recorded(t, ns, pod).Spec
	for _, o := range spec.Owners {
		got = append(got, o.APIVersion+" "+o.Kind+" "+o.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the record of %s names %q, want %q", pod, got, want)
	}
	if n := len(spec.Owners); n > 0 {
		c.noted(t, ns, "involvedObject.uid="+string(spec.Owners[n-1].UID), "PodUnexplained",
			"Pod "+pod+" left: "+spec.Reason)
	}
}

// What is above a pod's controller is on record up to the top, of each kind that the chart lets
// Epitaph read, and of no other.
func TestRecordNamesOwnersToTheTop(t *testing.T) {
	t.Parallel()
	rules := shared.rules(t, theOwnersRole, "")
	var kinds []definedKind
	first := map[string]definedKind{}
	for _, rule := range rules {
		group := rule.APIGroups[0]
		all := shared.defineKinds(t, group, rule.Resources...)
		kinds, first[group] = append(kinds, all...), all[0]
	}
	closed := shared.defineKinds(t, "example.com", "secretjobs")[0]
	ns := shared.namespace(t)
	for n := 0; len(kinds) > 0; n++ {
		chain := kinds[:min(len(kinds), record.MaxOwners)]
		kinds = kinds[len(chain):]
		var ref *metav1.OwnerReference
		var want []string
		for _, kind := range chain {
			ref = shared.owner(t, ns, kind, ref)
			want = append(want, named(ref))
		}
		slices.Reverse(want)
		shared.wantChain(t, ns, fmt.Sprintf("chain-%d", n), ref, want...)
	}

	ns = shared.namespace(t)
	ghost := &metav1.OwnerReference{APIVersion: "example.org/v1", Kind: "Ghost", Name: "g",
		UID: "u", Controller: ptr.To(true)}
	shared.wantChain(t, ns, "of-a-kind-that-is-not-there", ghost, named(ghost))
	closedOne := shared.owner(t, ns, closed, ghost)
	shared.wantChain(t, ns, "of-a-kind-that-may-not-be-read", closedOne, named(closedOne))
	for _, rule := range rules {
		kind := first[rule.APIGroups[0]]
		one := shared.owner(t, ns, kind, closedOne)
		putBack := shared.withdraw(t, theOwnersRole, withdrawal{resource: kind.resource,
			group: kind.Group, verb: "get"})
		shared.wantChain(t, ns, "without-"+kind.resource+"-"+strings.Split(kind.Group, ".")[0],
			one, named(one))
		putBack()
	}
	if says := `cannot get resource "secretjobs"`; !strings.Contains(strings.ReplaceAll(
		logged(t, shared), `\`, ""), says) {
		t.Errorf("the log does not tell: %s", says)
	}
}
