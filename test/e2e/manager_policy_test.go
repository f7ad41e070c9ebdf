package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// What the manager's policy says when it refuses.
const (
	statusOnly      = "the manager may write to a pod or a node through its status only"
	noAnnotation    = "the manager may change no annotation but a reason's, and its own marks"
	noMetadata      = "the manager may change nothing of a pod's or a node's metadata but annotations"
	noStatusOfNodes = "the manager may change nothing of a node's status"
	failsOnly       = "the manager may have a pod fail and say why, and change nothing else of its status"
)

// asManagerAndMore is a client with the manager's name whom RBAC allows everything.
func (c *cluster) asManagerAndMore(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	return c.clientFor(t, c.As(webhook.Self(ourNamespace), "system:masters"))
}

// writes changes a pod, or its subresource, in the way that the kind of patch says.
func writes(kind types.PatchType, pod *corev1.Pod, subresource, format string,
	args ...any) func(context.Context, *kubernetes.Clientset) error {
	subresources := []string{}
	if subresource != "" {
		subresources = append(subresources, subresource)
	}
	return func(ctx context.Context, c *kubernetes.Clientset) error {
		_, err := c.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, kind,
			fmt.Appendf(nil, format, args...), metav1.PatchOptions{}, subresources...)
		return err
	}
}

// managersWork is what the manager writes, in the forms in which it does.
func managersWork(pod *corev1.Pod, node string) map[string]try {
	const merge, strategic = types.MergePatchType, types.StrategicMergePatchType
	pods := keys.Pod
	return map[string]try{
		"a pod's reason, by a JSON patch": {do: writes(types.JSONPatchType, pod, "status",
			`[{"op":"test","path":"/metadata/uid","value":%q},{"op":"add","path":"/metadata/annotations/pod.titus.netflix.com~1pod-termination-reason","value":"x"}]`, pod.UID)},
		"a pod's reason and the mark": {do: writes(merge, pod,
			"status", `{"metadata":{"annotations":{%q:"x",%q:"Unexplained",%q:"alice",%q:"x"}}}`,
			pods.Reason, pods.Code, pods.By, reason.WrittenKey)},
		"the reason is taken off": {do: writes(merge, pod,
			"status", `{"metadata":{"annotations":{%q:null,%q:null,%q:null,%q:null}}}`,
			pods.Reason, pods.Code, pods.By, reason.WrittenKey)},
		"a node's reason and its marks": {do: merges(node,
			`{"metadata":{"annotations":{%q:"x",%q:"x",%q:"x",%q:"x",%q:"x",%q:"x"}}}`,
			keys.Node.Reason, keys.Node.Code, keys.Node.By, reason.WrittenKey, reason.MarkedDeadKey,
			reason.EvidenceKey)},
		"those are taken off": {do: merges(node,
			`{"metadata":{"annotations":{%q:null,%q:null,%q:null}}}`,
			reason.WrittenKey, reason.MarkedDeadKey, reason.EvidenceKey)},
		"a pod has a condition for its reason": {do: writes(strategic, pod, "status",
			`{"status":{"conditions":[{"type":%q,"status":"True","reason":"Unexplained","message":"x\nalice"}]}}`, reason.HeldIn)},
		"that is taken off": {do: writes(strategic, pod,
			"status", `{"status":{"conditions":[{"$patch":"delete","type":%q}]}}`, reason.HeldIn)},
	}
}

// furtherOnPods are changes of a pod that are not the manager's.
func furtherOnPods(pod *corev1.Pod) map[string]try {
	const merge, strategic, jsonPatch = types.MergePatchType, types.StrategicMergePatchType,
		types.JSONPatchType
	conditions := func(list string) func(context.Context, *kubernetes.Clientset) error {
		return writes(strategic, pod, "status", `{"status":{"conditions":[%s]}}`, list)
	}
	return map[string]try{
		"the pod itself": {do: writes(merge, pod,
			"", `{"metadata":{"annotations":{%q:"x"}}}`, keys.Pod.Reason), want: statusOnly},
		"its image": {do: writes(strategic, pod,
			"",
			`{"spec":{"containers":[{"name":"main","image":"registry.example/evil:1"}]}}`), want: statusOnly},
		"a toleration": {do: tolerates(pod), want: statusOnly},
		"a debug container": {do: writes(strategic, pod,
			"ephemeralcontainers",
			`{"spec":{"ephemeralContainers":[{"name":"d","image":"registry.example/evil:1"}]}}`), want: statusOnly},
		"a program in it":  {do: runs(pod), want: statusOnly},
		"a pod of its own": {do: makes(pod), want: statusOnly},
		"another node":     {do: binds(pod), want: statusOnly},
		"a label": {do: writes(merge, pod,
			"status", `{"metadata":{"labels":{"a":"b"}}}`), want: noMetadata},
		"a label goes": {do: writes(merge, pod,
			"status", `{"metadata":{"labels":{"theirs":null}}}`), want: noMetadata},
		"a finalizer": {do: writes(merge, pod,
			"status",
			`{"metadata":{"finalizers":["example.com/theirs","example.com/never"]}}`), want: noMetadata},
		"a finalizer goes": {do: writes(jsonPatch, pod,
			"status", `[{"op":"remove","path":"/metadata/finalizers"}]`), want: noMetadata},
		"an annotation": {do: writes(merge, pod,
			"status", `{"metadata":{"annotations":{"example.com/a":"b"}}}`), want: noAnnotation},
		"theirs changes": {do: writes(merge, pod,
			"status",
			`{"metadata":{"annotations":{"example.com/theirs":"b"}}}`), want: noAnnotation},
		"theirs goes": {do: writes(merge, pod,
			"status",
			`{"metadata":{"annotations":{"example.com/theirs":null}}}`), want: noAnnotation},
		"all go": {do: writes(merge, pod,
			"status", `{"metadata":{"annotations":null}}`), want: noAnnotation},
		"one for another": {do: writes(merge, pod,
			"status",
			`{"metadata":{"annotations":{"example.com/theirs":null,"example.com/a":"theirs"}}}`), want: noAnnotation},
		"theirs for ours": {do: writes(merge, pod,
			"status", `{"metadata":{"annotations":{"example.com/theirs":null,%q:"theirs"}}}`,
			reason.WrittenKey), want: noAnnotation},
		"a node's mark": {do: writes(merge, pod,
			"status", `{"metadata":{"annotations":{%q:"x"}}}`,
			reason.MarkedDeadKey), want: noAnnotation},
		"a mark almost ours": {do: writes(merge, pod,
			"status", `{"metadata":{"annotations":{%q:"x"}}}`,
			reason.WrittenKey+"-2"), want: noAnnotation},
		"all is applied": {do: func(ctx context.Context, c *kubernetes.Clientset) error {
			body := fmt.Appendf(nil,
				`{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"a":"b"}}}`)
			_, err := c.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.ApplyPatchType,
				body, metav1.PatchOptions{FieldManager: "m"}, "status")
			return err
		}, want: noMetadata},
		"it succeeds": {do: writes(merge, pod,
			"status", `{"status":{"phase":"Succeeded"}}`), want: failsOnly},
		"it is pending": {do: writes(merge, pod,
			"status", `{"status":{"phase":"Pending"}}`), want: failsOnly},
		"a reason in its status": {do: writes(merge, pod,
			"status", `{"status":{"reason":"Evicted"}}`), want: failsOnly},
		"a reason as it succeeds": {do: writes(merge, pod,
			"status", `{"status":{"phase":"Succeeded","reason":"x"}}`), want: failsOnly},
		"its start": {do: writes(merge, pod,
			"status", `{"status":{"startTime":"2026-01-01T00:00:00Z"}}`), want: failsOnly},
		"a message in its status": {do: writes(merge, pod,
			"status", `{"status":{"message":"x"}}`), want: failsOnly},
		"its containers": {do: writes(merge, pod,
			"status", `{"status":{"containerStatuses":[]}}`), want: failsOnly},
		"it is not ready": {do: conditions(
			`{"type":"Ready","status":"False","reason":"x"}`), want: failsOnly},
		"a gate": {do: conditions(
			`{"type":"example.com/gate","status":"True"}`), want: failsOnly},
		"beside what it may": {do: conditions(
			fmt.Sprintf(`{"type":%q,"status":"True"},{"type":"example.com/gate","status":"True"}`,
				reason.HeldIn)), want: failsOnly},
		"a disruption of another": {do: conditions(
			`{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler"}`), want: failsOnly},
		"a disruption that is none": {do: conditions(
			`{"type":"DisruptionTarget","status":"False","reason":"DeletionByPodGC"}`), want: failsOnly},
		"all conditions go": {do: conditions(`{"$patch":"replace"}`), want: failsOnly},
		"a condition goes": {do: conditions(`{"$patch":"delete","type":"Ready"}`),
			want: failsOnly},
		"all conditions are replaced": {do: writes(jsonPatch, pod,
			"status",
			`[{"op":"replace","path":"/status/conditions","value":[]}]`), want: failsOnly},
	}
}

func furtherOnNodes(node string) map[string]try {
	const strategic = types.StrategicMergePatchType
	return map[string]try{
		"the node itself": {do: func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType,
				[]byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
			return err
		}, want: statusOnly},
		"a node of its own": {do: func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Nodes().Create(ctx,
				&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: unique("forged")}},
				metav1.CreateOptions{})
			return err
		}, want: statusOnly},
		"its kubelet": {do: func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource(
				"proxy").Do(ctx).Error()
		}, want: statusOnly},
		"a node's label": {do: merges(node,
			`{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}}`), want: noMetadata},
		"a node's finalizer": {do: merges(node,
			`{"metadata":{"finalizers":["example.com/never"]}}`), want: noMetadata},
		"a node's owner": {do: merges(node,
			`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"x"}]}}`), want: noMetadata},
		"a node's annotation": {do: annotates(node, "example.com/a"), want: noAnnotation},
		"a pod's reason":      {do: annotates(node, keys.Pod.Reason), want: noAnnotation},
		"the agent's token":   {do: annotates(node, reason.TokenKey), want: noAnnotation},
		"the agent's report":  {do: annotates(node, reason.AgentKey), want: noAnnotation},
		"its boot ID": {do: merges(node, `{"status":{"nodeInfo":{"bootID":"x"}}}`),
			want: noStatusOfNodes},
		"its addresses": {do: merges(node, `{"status":{"addresses":[]}}`),
			want: noStatusOfNodes},
		"a disruption of a node": {do: patches(strategic, node,
			`{"status":{"conditions":[{"type":"DisruptionTarget","status":"True"}]}}`), want: noStatusOfNodes},
		"a node that is not ready": {do: patches(strategic, node,
			`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`), want: noStatusOfNodes},
		"a node without conditions": {do: patches(strategic, node,
			`{"status":{"conditions":[{"$patch":"replace"}]}}`), want: noStatusOfNodes},
	}
}

// tolerates adds a toleration to those that the pod has, which anybody may do who may change its
// spec.
func tolerates(pod *corev1.Pod) func(context.Context, *kubernetes.Clientset) error {
	return writes(types.JSONPatchType, pod, "",
		`[{"op":"add","path":"/spec/tolerations/-","value":{"key":"a","operator":"Exists"}}]`)
}

func runs(pod *corev1.Pod) func(context.Context, *kubernetes.Clientset) error {
	return func(ctx context.Context, c *kubernetes.Clientset) error {
		return c.CoreV1().RESTClient().Post().Namespace(pod.Namespace).Resource("pods").Name(
			pod.Name).SubResource("exec").Param("command", "id").Do(ctx).Error()
	}
}

func makes(pod *corev1.Pod) func(context.Context, *kubernetes.Clientset) error {
	return func(ctx context.Context, c *kubernetes.Clientset) error {
		_, err := c.CoreV1().Pods(pod.Namespace).Create(ctx,
			podSpec(pod.Namespace, "n", unique("forged")), metav1.CreateOptions{})
		return err
	}
}

func binds(pod *corev1.Pod) func(context.Context, *kubernetes.Clientset) error {
	return func(ctx context.Context, c *kubernetes.Clientset) error {
		return c.CoreV1().Pods(pod.Namespace).Bind(ctx,
			&corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name},
				Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}, metav1.CreateOptions{})
	}
}

// theirs is a pod with something of everything.
func theirs(p *corev1.Pod) {
	p.Labels = map[string]string{"theirs": "theirs"}
	p.Annotations = map[string]string{"example.com/theirs": "theirs"}
	p.Finalizers = []string{"example.com/theirs"}
}

// Whoever has taken the manager over, and more rights with it, can still say no more of a pod or a
// node than the manager says.
func TestManagerGetsNoFurther(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pod := shared.pod(t, ns, node, "a", theirs)
	t.Cleanup(func() { shared.releases(t, pod) })
	as := shared.asManagerAndMore(t)
	for _, tries := range []map[string]try{furtherOnPods(pod), furtherOnNodes(node)} {
		for name, tc := range tries {
			t.Run(name, func(t *testing.T) { tc.check(t, as) })
		}
	}
	after := shared.alive(t, ns, "a")
	if after.Spec.Containers[0].Image != pod.Spec.Containers[0].Image ||
		after.Spec.NodeName != pod.Spec.NodeName || len(after.Annotations) != 1 {
		t.Errorf("the pod was changed: %+v", after.ObjectMeta)
	}
	t.Run("its own work", func(t *testing.T) {
		for name, tc := range managersWork(pod, node) {
			t.Run(name, func(t *testing.T) { tc.check(t, as) })
		}
		fails :=
			`{"metadata":{"annotations":{%q:"x"}},"status":{"phase":"Failed","reason":"x","message":"x","conditions":[{"type":"DisruptionTarget","status":"True","reason":"DeletionByPodGC","message":"x"}]}}`
		// As often as it has to be repeated.
		for range 2 {
			try{do: writes(types.StrategicMergePatchType, pod, "status", fails,
				keys.Pod.Reason)}.check(t, as)
		}
	})
	t.Run("the reason of one that has failed", func(t *testing.T) {
		const merge = types.MergePatchType
		for name, tc := range map[string]try{
			"another": {do: writes(merge, pod, "status", `{"status":{"reason":"y"}}`),
				want: failsOnly},
			"none": {do: writes(merge, pod, "status", `{"status":{"reason":null}}`),
				want: failsOnly},
			"another message": {do: writes(merge, pod, "status", `{"status":{"message":"y"}}`),
				want: failsOnly},
		} {
			t.Run(name, func(t *testing.T) { tc.check(t, as) })
		}
	})
	t.Run("the reason that a kubelet gave", func(t *testing.T) {
		given := shared.pod(t, ns, node, "given")
		kubelets := writes(types.MergePatchType, given, "status",
			`{"status":{"reason":"Evicting","message":"low on memory"}}`)
		if err := kubelets(t.Context(), shared.client); err != nil {
			t.Fatal(err)
		}
		try{do: writes(types.StrategicMergePatchType, given, "status",
			`{"status":{"phase":"Failed","reason":"x","message":"x"}}`), want: failsOnly}.check(t, as)
		try{do: writes(types.StrategicMergePatchType, given, "status",
			`{"status":{"phase":"Failed"}}`)}.check(t, as)
	})
	// The owner of an object, like its spec, is not even for the policy to refuse: the API server
	// leaves it as it is.
	owner := writes(types.MergePatchType, pod,
		"status",
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"x"}]},"spec":{"nodeName":"elsewhere"}}`)
	if err := owner(t.Context(), as); err != nil {
		t.Error(err)
	}
	if after := shared.alive(t, ns, "a"); len(after.OwnerReferences) > 0 ||
		after.Spec.NodeName != pod.Spec.NodeName {
		t.Errorf("the pod belongs to %+v, on %s", after.OwnerReferences, after.Spec.NodeName)
	}
	t.Run("others", func(t *testing.T) {
		shared.freely(t, ns, pod, node)
	})
}

// freely wants everybody else to do what they like, and the manager to delete and evict.
func (c *cluster) freely(t *testing.T, ns string, pod *corev1.Pod, node string) {
	for _, user := range []string{"system:serviceaccount:" + ns + ":epitaph-manager",
		webhook.Self(ourNamespace) + "-2", "alice"} {
		other := c.clientFor(t, c.As(user, "system:masters"))
		for name, tc := range map[string]try{
			"a label": {do: writes(types.MergePatchType, pod,
				"status", `{"metadata":{"labels":{"a":%q}}}`, ns)},
			"an annotation": {do: annotates(node, "example.com/a")},
		} {
			t.Run(user+"/"+name, func(t *testing.T) { tc.check(t, other) })
		}
	}
	as, dry := c.asManagerAndMore(t), []string{metav1.DryRunAll}
	if err := as.CoreV1().Pods(ns).Delete(t.Context(), pod.Name,
		metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Errorf("it cannot delete a pod: %v", err)
	}
	if err := as.CoreV1().Nodes().Delete(t.Context(), node,
		metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Errorf("it cannot delete a node: %v", err)
	}
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: ns},
		DeleteOptions: &metav1.DeleteOptions{DryRun: dry}}
	if err := as.PolicyV1().Evictions(ns).Evict(t.Context(), eviction); err != nil {
		t.Errorf("it cannot evict a pod: %v", err)
	}
}

// releases takes the finalizers off a pod.
func (c *cluster) releases(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	err := writes(types.MergePatchType, pod, "",
		`{"metadata":{"finalizers":null}}`)(context.WithoutCancel(t.Context()), c.client)
	if err != nil {
		t.Error(err)
	}
}

// Each part of the manager's policy is taken away in turn: what it refused gets through then.
func TestEachPartOfTheManagersPolicyIsNeeded(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	ns, node := c.namespace(t), c.node(t).Name
	pod := c.pod(t, ns, node, "a", theirs)
	t.Cleanup(func() { c.releases(t, pod) })
	as := c.asManagerAndMore(t)
	tries := map[string]try{
		statusOnly:      furtherOnPods(pod)["a toleration"],
		noAnnotation:    furtherOnPods(pod)["an annotation"],
		noMetadata:      furtherOnPods(pod)["a label"],
		noStatusOfNodes: furtherOnNodes(node)["a disruption of a node"],
		failsOnly:       furtherOnPods(pod)["a gate"],
	}
	policy, err := c.client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(t.Context(),
		string(theManager), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n, validation := range policy.Spec.Validations {
		tc, ok := tries[validation.Message]
		if !ok {
			t.Errorf("nothing tries to get around %q", validation.Message)
			continue
		}
		c.eventually(t, "it is refused: "+tc.want, func(ctx context.Context) (bool, error) {
			err := tc.do(ctx, as)
			return err != nil && strings.Contains(err.Error(), tc.want), nil
		})
		c.setValidations(t, theManager, slices.Delete(slices.Clone(policy.Spec.Validations), n,
			n+1))
		c.eventually(t, "it gets through without: "+tc.want,
			func(ctx context.Context) (bool, error) { return tc.do(ctx, as) == nil, nil })
		c.setValidations(t, theManager, policy.Spec.Validations)
	}
}
