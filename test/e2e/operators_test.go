package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// operatorKinds are the kinds of owners in these tests, and Volcano's groups.
func operatorKinds() (ray, argo, train, group definedKind) {
	ray, argo = kindOf("ray.io", "rayclusters"), kindOf("argoproj.io", "workflows")
	train = kindOf("operated.example.com", "trains") // It may not be read.
	group = kindOf("scheduling.volcano.sh", "podgroups")
	group.Kind, group.status = "PodGroup", true
	ray.Kind, ray.status, train.status = "RayCluster", true, true
	return ray, argo, train, group
}

// operators: service accounts that may do different things delete the pods of owners of three
// kinds. That of its controller is told from the rest by its rights, or by its name.
func (k *kueueCluster) operators(t *testing.T) {
	ray, argo, train, group := operatorKinds()
	const ofVolcano = "of Volcano's group"
	deletes := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"},
		Verbs: []string{"get", "delete"}}
	writes := func(kind definedKind, what string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{kind.Group},
			Resources: []string{kind.resource + what}, Verbs: []string{"get", "update", "patch"}}
	}
	everything := rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"},
		Verbs: []string{"*"}}
	tests := map[string]func(*testing.T){}
	for name, tt := range map[string]struct {
		kind    definedKind
		account string
		may     rbacv1.PolicyRule
		// saying is what the operator has written.
		saying string
		// detail is empty where nothing can be inferred.
		detail string
	}{
		"its operator": {train, "operator", writes(train, "/status"), "", "Train of-train"},
		"its operator, and the status tells": {ray, "operator", writes(ray, "/status"),
			`{"status":{"state":"failed","reason":"no head"}}`,
			"RayCluster of-raycluster is failed: no head"},
		"its operator, before there is a status": {ray, "operator", writes(ray, "/status"), "",
			"RayCluster of-raycluster"},
		ofVolcano: {train, "operator", writes(train, "/status"), "",
			"Train of-train; PodGroup of-podgroup is Unknown: " +
				"not enough of its pods can be scheduled"},
		"somebody who may delete pods": {train, "cleaner", deletes, "", ""},
		"somebody who may change the owner": {ray, "ci", writes(ray, ""),
			`{"status":{"state":"ready"}}`, ""},
		"an administrator":        {ray, "root", everything, `{"status":{"state":"ready"}}`, ""},
		"another kind's operator": {train, "other", writes(ray, "/status"), "", ""},
		"a status that is no subresource": {argo, "ci", writes(argo, "/status"),
			`{"status":{"phase":"Failed"}}`, ""},
		"known by its name": {argo, "argo", writes(argo, ""),
			`{"status":{"phase":"Failed","message":"Stopped with strategy 'Terminate'"}}`,
			"Workflow of-workflow is Failed: Stopped with strategy 'Terminate'"},
	} {
		tests[name] = func(t *testing.T) {
			ns, node := k.namespace(t), k.node(t).Name
			user := "system:serviceaccount:" + ns + ":" + tt.account
			k.grantIn(t, ns, user, deletes, tt.may)
			ref := k.owner(t, ns, tt.kind, nil)
			k.putStatus(t, ns, tt.kind, ref.Name, tt.saying)
			if name == ofVolcano {
				k.putStatus(t, ns, group, k.owner(t, ns, group, nil).Name,
					`{"status":{"phase":"Unknown"}}`)
			}
			k.pod(t, ns, node, "p", func(p *corev1.Pod) {
				p.OwnerReferences = []metav1.OwnerReference{*ref}
				if name == ofVolcano {
					p.Annotations = map[string]string{"scheduling.k8s.io/group-name": "of-podgroup"}
				}
			})
			client := k.clientFor(t, k.As(user, "system:serviceaccounts"))
			k.hasRight(t, user, ns, "", "pods", "delete")
			k.remove(t, client, ns, "p")
			want := reason.New(reason.Pod, reason.RemovedByOwner, tt.detail, user)
			if tt.detail == "" {
				want = reason.New(reason.Pod, reason.Unexplained, user, user)
			}
			k.leaves(t, reason.Pod, ns+"/p", want)
		}
	}
	together(t, tests)
}

// putStatus has an operator write that onto an object of the kind.
func (c *cluster) putStatus(t *testing.T, ns string, kind definedKind, name, saying string) {
	t.Helper()
	if saying == "" {
		return
	}
	var subresources []string
	if kind.status {
		subresources = []string{"status"}
	}
	if _, err := c.dynamic(t).Resource(kind.GroupVersion().WithResource(kind.resource)).
		Namespace(ns).Patch(t.Context(), name, types.MergePatchType, []byte(saying),
		metav1.PatchOptions{}, subresources...); err != nil {
		t.Fatal(err)
	}
}
