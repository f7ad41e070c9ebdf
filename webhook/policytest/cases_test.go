package policytest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An inferenceCase is one of package reason: see testdata/cases/README.md there.
type inferenceCase struct {
	Name    string     `json:"name"`
	Now     *time.Time `json:"now"`
	Remover struct {
		User   string   `json:"user"`
		Groups []string `json:"groups"`
		Evicts bool     `json:"evicts"`
		Says   string   `json:"says"`
		For    string   `json:"for"`
		Unseen bool     `json:"unseen"`
	} `json:"remover"`
	Pod          *corev1.Pod          `json:"pod"`
	Node         *corev1.Node         `json:"node"`
	NodeGone     bool                 `json:"nodeGone"`
	NodeReason   *reasonOfCase        `json:"nodeReason"`
	Preemptors   []corev1.Pod         `json:"preemptors"`
	DeviceTaints []reason.DeviceTaint `json:"deviceTaints"`
	Owner        struct {
		UID       types.UID       `json:"uid"`
		Deleted   bool            `json:"deleted"`
		Finished  bool            `json:"finished"`
		Suspended bool            `json:"suspended"`
		Surplus   bool            `json:"surplus"`
		Failed    string          `json:"failed"`
		Revision  reason.Revision `json:"revision"`
	} `json:"owner"`
	OwnerEnd reason.OwnerEnd  `json:"ownerEnd"`
	Objects  []map[string]any `json:"objects"`
	Operated string           `json:"operated"`
	Claim    struct {
		Name       string              `json:"name"`
		UID        types.UID           `json:"uid"`
		Disruption string              `json:"disruption"`
		Expired    bool                `json:"expired"`
		Deleted    bool                `json:"deleted"`
		Unhealthy  bool                `json:"unhealthy"`
		Said       []reason.ClaimWords `json:"said"`
		End        reason.OwnerEnd     `json:"end"`
	} `json:"claim"`
	NamespaceTerminating bool              `json:"namespaceTerminating"`
	Signals              []reason.Signal   `json:"signals"`
	Identities           []reason.Identity `json:"identities"`
	NamePreemptors       bool              `json:"namePreemptors"`
	Want                 *reasonOfCase     `json:"want"`
}

type reasonOfCase struct {
	Code reason.Code `json:"code"`
	Text string      `json:"text"`
	By   string      `json:"by"`
	// Supposed is for the mark beside the reason, which the answer to a request does not show.
	Supposed bool `json:"supposed"`
}

// unasked are cases that no request comes to, and why.
var unasked = map[string]string{
	"replicaset-of-another-owner":              "the webhook reads the owner that the pod names",
	"kcm-job-of-volcano":                       "the webhook does not read owners of that kind",
	"kcm-ambiguous":                            "nothing is known of an owner only where the look-up fails",
	"karpenter-nodeclaims/of-another-node":     "the webhook reads the NodeClaim that the Node names",
	"karpenter-nodeclaims/person-before-event": "who deleted a NodeClaim is in a record, and there is none here",
	"orphan-final-state-of-the-node":           "the last state of a node that is gone is known to the garbage collector alone",
}

// Every inference case is a policy test: the request that a person or a program makes, and the
// cluster around it as whole objects, through the webhook's handler.
func TestInferenceCases(t *testing.T) {
	t.Parallel()
	const dir = "../../reason/testdata/cases/"
	names, err := filepath.Glob(dir + "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tried, unseen, operated := 0, 0, 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n---\n") {
			var c inferenceCase
			if err := yaml.UnmarshalStrict([]byte(strings.Replace(part, "description:", "#", 1)),
				&c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			full := strings.TrimSuffix(filepath.Base(name), ".yaml")
			if c.Name != "" {
				full += "/" + c.Name
			}
			if c.Remover.Unseen {
				unseen++ // Where no webhook was there, none can be asked.
				continue
			}
			if unasked[full] != "" {
				continue
			}
			if c.Operated != "" {
				operated++ // Whose controller somebody is, the API server is asked, which is not here.
				continue
			}
			tried++
			t.Run(full, func(t *testing.T) {
				t.Parallel()
				suite := c.suite(t, full)
				var out strings.Builder
				if err := suite.Run(t.Context(), clock.RealClock{}, &out); err != nil {
					t.Errorf("%v:\n%s", err, out.String())
				}
			})
		}
	}
	if tried < 300 || unseen > 10 || operated > 25 {
		t.Errorf("%d cases were tried, %d and %d could not be asked", tried, unseen, operated)
	}
}

func (c inferenceCase) suite(t *testing.T, name string) *Suite {
	t.Helper()
	settings := config.Default()
	settings.Webhook.Mode = config.EnforceMode
	settings.Inference.Signals, settings.Inference.Identities = c.Signals, c.Identities
	settings.Inference.NamePreemptors = c.NamePreemptors
	all := c.objects(t)
	asked := Case{Name: name, User: c.Remover.User, Groups: c.Remover.Groups, Says: c.Remover.Says,
		For: c.Remover.For, Want: c.wanted(settings.Inferrer())}
	target := &Target{Kind: "Node"}
	if c.Pod == nil {
		target.Name = c.Node.Name
	} else {
		target = &Target{"Pod", c.Pod.Namespace, c.Pod.Name}
	}
	if asked.Deletes = target; c.Remover.Evicts {
		asked.Deletes, asked.Evicts = nil, target
	}
	trial, err := asked.trial(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &Suite{Name: "reason", Config: settings, Objects: all,
		Now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Trials: []Trial{trial}}
	if c.Now != nil {
		s.Now = *c.Now
	}
	return s
}

// wanted is what the case wants: where nothing must be inferred, people are denied, and of programs
// nobody knows why.
func (c inferenceCase) wanted(i reason.Inferrer) Want {
	switch {
	case c.Want != nil:
		w := Want{Decision: allowed, Reason: reason.MustPattern(c.Want.Text),
			By: reason.MustPattern(c.Want.By)}
		if c.Want.Code.Known() {
			w.Code = c.Want.Code
		}
		return w
	case i.ActorOf(c.Remover.User, c.Remover.Groups) == reason.Person:
		return Want{Decision: denied,
			Message: reason.MustPattern("* must not leave without a reason *")}
	default:
		return Want{Decision: allowed, Code: reason.Unexplained}
	}
}

func object(t *testing.T, kind string, o any) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	version := map[string]string{
		"Job": "batch/v1", "ReplicaSet": "apps/v1", "Deployment": "apps/v1",
		"StatefulSet": "apps/v1", "DaemonSet": "apps/v1",
		"NodeObituary": v1alpha1.GroupVersion.String(), "ResourceClaim": "resource.k8s.io/v1",
		"ResourceSlice":   "resource.k8s.io/v1",
		"DeviceTaintRule": "resource.k8s.io/v1", "NodeClaim": "karpenter.sh/v1",
	}[kind]
	if version == "" {
		version = "v1"
	}
	u.SetAPIVersion(version)
	u.SetKind(kind)
	return u
}

// objects are the cluster that the case describes in short.
func (c inferenceCase) objects(t *testing.T) (all Objects) {
	t.Helper()
	if c.Node != nil && !c.NodeGone {
		all = append(all, object(t, "Node", c.Node))
	}
	all = append(all, c.claim(t)...)
	if c.Pod == nil {
		return all
	}
	if name := c.Pod.Spec.NodeName; c.Node == nil && !c.NodeGone && name != "" {
		// of which nothing is known
		all = append(all,
			object(t, "Node", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	if c.NodeReason != nil {
		all = append(all, object(t, "NodeObituary", &v1alpha1.NodeObituary{
			ObjectMeta: metav1.ObjectMeta{Name: "n"},
			Spec: v1alpha1.NodeObituarySpec{
				NodeName: c.Pod.Spec.NodeName, Code: string(c.NodeReason.Code),
				Reason: c.NodeReason.Text, By: c.NodeReason.By,
				Removed: metav1.Date(2026, 5, 1, 11, 59, 0, 0, time.UTC),
			},
		}))
	}
	for n := range c.Preemptors {
		all = append(all, object(t, "Pod", &c.Preemptors[n]))
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.Pod.Namespace}}
	if c.NamespaceTerminating {
		ns.DeletionTimestamp = ptr.To(metav1.Now())
	}
	all = append(all, object(t, "Namespace", ns))
	all = append(all, c.decided(t, c.owners(t))...)
	all = append(all, c.devices(t)...)
	return append(all, object(t, "Pod", c.Pod))
}

// decided adds the objects that decide about the pod to its owners, related to it as the rules have
// it.
func (c inferenceCase) decided(t *testing.T, owners Objects) Objects {
	t.Helper()
	settings := config.Default()
	deciders := settings.Inferrer().Deciders()
	for _, content := range c.Objects {
		u := &unstructured.Unstructured{Object: content}
		gvk := u.GroupVersionKind()
		for _, d := range deciders {
			if d.Group != gvk.Group || d.Kind != gvk.Kind {
				continue
			}
			switch ref := metav1.GetControllerOf(c.Pod); {
			case d.Labelled != "":
				of := c.Pod.UID
				if ref != nil {
					of = ref.UID
				}
				u.SetLabels(map[string]string{d.Labelled: string(of)})
			case d.NamedByLabel != "":
				metav1.SetMetaDataLabel(&c.Pod.ObjectMeta, d.NamedByLabel, u.GetName())
			case d.NamedByAnnotation != "":
				metav1.SetMetaDataAnnotation(&c.Pod.ObjectMeta, d.NamedByAnnotation, u.GetName())
			case ref != nil && ref.Kind != gvk.Kind && len(owners) > 0:
				owners[0].SetOwnerReferences([]metav1.OwnerReference{{APIVersion: u.GetAPIVersion(),
					Kind: gvk.Kind, Name: u.GetName(), UID: u.GetUID(), Controller: ptr.To(true)}})
			}
		}
		owners = append(owners, u)
	}
	return owners
}

// claim is the node's NodeClaim, a day old, and what Events say of it.
func (c inferenceCase) claim(t *testing.T) Objects {
	t.Helper()
	if c.Claim.Name == "" {
		return nil
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	u := object(t, "NodeClaim", &map[string]any{"spec": map[string]any{"expireAfter": "Never"}})
	u.SetName(c.Claim.Name)
	u.SetUID(c.Claim.UID)
	u.SetCreationTimestamp(metav1.NewTime(now.Add(-24 * time.Hour)))
	if c.Claim.Deleted {
		u.SetDeletionTimestamp(ptr.To(metav1.NewTime(now)))
	}
	if c.Claim.Expired {
		u.Object["spec"] = map[string]any{"expireAfter": "24h0m0s"}
	}
	if c.Claim.Disruption != "" {
		u.Object["status"] = map[string]any{"conditions": []any{
			map[string]any{"type": "Initialized", "status": "True", "reason": "Initialized"},
			map[string]any{"type": "DisruptionReason", "status": "True",
				"reason": c.Claim.Disruption},
		}}
	}
	if c.Claim.Unhealthy {
		u.SetAnnotations(map[string]string{
			"karpenter.sh/nodeclaim-termination-timestamp": now.Format(time.RFC3339)})
	}
	all := Objects{u}
	for n, said := range c.Claim.Said {
		all = append(all, object(t, "Event", &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault,
				Name: fmt.Sprint("said-", n)},
			InvolvedObject: corev1.ObjectReference{UID: c.Claim.UID},
			Reason:         said.Reason, Message: said.Message}))
	}
	return all
}

// owners are the pod's controller, and what it belongs to, in the state that the case describes in
// short.
func (c inferenceCase) owners(t *testing.T) Objects {
	t.Helper()
	ref := metav1.GetControllerOf(c.Pod)
	if ref == nil {
		return nil
	}
	meta := metav1.ObjectMeta{Namespace: c.Pod.Namespace, Name: ref.Name, UID: ref.UID}
	if c.Owner.Deleted {
		meta.DeletionTimestamp = ptr.To(metav1.Now())
	}
	current := c.Owner.Revision != reason.Outdated
	known := c.Owner.Revision != ""
	switch ref.Kind {
	case "Job":
		job := &batchv1.Job{ObjectMeta: meta}
		job.Spec.Suspend = &c.Owner.Suspended
		if c.Owner.Surplus {
			job.Spec.Parallelism, job.Status.Active = ptr.To(int32(1)), 2
		}
		if c.Owner.Finished {
			job.Status.Conditions = []batchv1.JobCondition{
				{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		}
		if why, message, _ := strings.Cut(c.Owner.Failed, ": "); why != "" {
			job.Status.Conditions = []batchv1.JobCondition{
				{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Reason: why,
					Message: message}}
		}
		return Objects{object(t, "Job", job)}
	case "ReplicationController":
		if !known && !c.Owner.Deleted {
			return nil
		}
		return Objects{object(t, "ReplicationController",
			&corev1.ReplicationController{ObjectMeta: meta})}
	case "ReplicaSet":
		set := &appsv1.ReplicaSet{ObjectMeta: meta}
		if !known && !c.Owner.Deleted {
			return nil
		}
		set.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: "Deployment", Name: "d", UID: "d",
				Controller: ptr.To(true)}}
		deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: meta.Namespace,
			Name: "d", UID: "d"}}
		if !current {
			deployment.Spec.Template.Spec.HostNetwork = true
		}
		return Objects{object(t, "ReplicaSet", set), object(t, "Deployment", deployment)}
	case "StatefulSet":
		set := &appsv1.StatefulSet{ObjectMeta: meta}
		if known {
			c.Pod.Name = ref.Name + "-0"
			set.Spec.Replicas = ptr.To(int32(0))
			if !current {
				set.Spec.Replicas = ptr.To(int32(1))
			}
		}
		return Objects{object(t, "StatefulSet", set)}
	case "DaemonSet":
		set := &appsv1.DaemonSet{ObjectMeta: meta}
		if known {
			metav1.SetMetaDataLabel(&c.Pod.ObjectMeta, "pod-template-generation", "1")
			metav1.SetMetaDataAnnotation(&set.ObjectMeta, appsv1.DeprecatedTemplateGeneration,
				map[bool]string{true: "1", false: "2"}[current])
		}
		return Objects{object(t, "DaemonSet", set)}
	default:
		return nil
	}
}

// devices are the pod's claim, the slice of its node and the rules, with the taints that the case
// has.
func (c inferenceCase) devices(t *testing.T) (all Objects) {
	t.Helper()
	if len(c.DeviceTaints) == 0 {
		return nil
	}
	c.Pod.Spec.ResourceClaims = []corev1.PodResourceClaim{
		{Name: "c", ResourceClaimName: ptr.To("c")}}
	var results, devices []any
	seen := map[string]bool{}
	for _, d := range c.DeviceTaints {
		taint := map[string]any{"key": d.Key, "value": d.Value, "effect": "NoExecute"}
		if !seen[d.Device] {
			seen[d.Device] = true
			results = append(results, map[string]any{"request": "r", "driver": d.Driver,
				"pool": d.Pool, "device": d.Device})
			var taints []any
			if d.Rule == "" {
				taints = []any{taint}
			}
			devices = append(devices, map[string]any{"name": d.Device, "taints": taints})
		}
		if d.Rule != "" {
			all = append(all, object(t, "DeviceTaintRule", &map[string]any{
				"metadata": map[string]any{"name": d.Rule},
				"spec": map[string]any{"deviceSelector": map[string]any{"device": d.Device},
					"taint": taint},
			}))
		}
	}
	first := c.DeviceTaints[0]
	return append(all, object(t, "ResourceClaim", &map[string]any{
		"metadata": map[string]any{"namespace": c.Pod.Namespace, "name": "c"},
		"status": map[string]any{"allocation": map[string]any{
			"devices": map[string]any{"results": results}}},
	}),
		object(t, "ResourceSlice", &map[string]any{
			"metadata": map[string]any{"name": "s"},
			"spec": map[string]any{
				"driver": first.Driver, "nodeName": c.Pod.Spec.NodeName,
				"pool":    map[string]any{"name": first.Pool, "generation": int64(1)},
				"devices": devices,
			},
		}),
	)
}
