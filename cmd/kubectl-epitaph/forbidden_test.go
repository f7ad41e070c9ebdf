package main

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestRightsThatAreLacking(t *testing.T) {
	t.Parallel()
	refused := func(user, what string) error {
		return fmt.Errorf("do it: %w", apierrors.NewForbidden(schema.GroupResource{}, "x",
			errors.New(`User "`+user+`" cannot `+what)))
	}
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"a subresource, of a service account": {refused("system:serviceaccount:ci:bot",
			`create resource "pods/eviction" in API group "" in the namespace "batch"`),
			"\nYou lack the right to create pods/eviction in namespace batch. An administrator grants it by" +
				"\n  kubectl create role epitaph-create-pods-eviction --verb=create --resource=pods/eviction -n batch" +
				"\n  kubectl create rolebinding epitaph-create-pods-eviction --role=epitaph-create-pods-eviction --serviceaccount=ci:bot -n batch"},
		"in the whole cluster": {refused("carol",
			`patch resource "nodes" in API group "" at the cluster scope: no RBAC policy matched`),
			"\nYou lack the right to patch nodes in the whole cluster. An administrator grants it by" +
				"\n  kubectl create clusterrole epitaph-patch-nodes --verb=patch --resource=nodes" +
				"\n  kubectl create clusterrolebinding epitaph-patch-nodes --clusterrole=epitaph-patch-nodes --user=carol"},
		"a name that a shell would obey": {refused("$(reboot)",
			`get resource "nodes" in API group "" at the cluster scope`),
			"\nYou lack the right to get nodes in the whole cluster. An administrator grants it by" +
				"\n  kubectl create clusterrole epitaph-get-nodes --verb=get --resource=nodes" +
				"\n  kubectl create clusterrolebinding epitaph-get-nodes --clusterrole=epitaph-get-nodes --user=…"},
		"a resource that a shell would obey": {refused("carol",
			"get resource \"$(reboot)\x1b[2J\" in API group \"\" at the cluster scope"),
			"\nYou lack the right to get $(reboot)\\x1b[2J in the whole cluster."},
		"refused by a policy": {apierrors.NewForbidden(schema.GroupResource{}, "x",
			errors.New("no")), ""},
		"no refusal": {errors.New(`User "a" cannot get resource "b" in API group "" at the cluster scope`),
			""},
	} {
		if got := remedy(tc.err); got != tc.want {
			t.Errorf("%s: it says\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}
