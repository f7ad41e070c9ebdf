package obituary

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/crdschema"
)

// maxBytes bounds an obituary: 64 containers with all they can have.
const maxBytes = 128 << 10

func schema(t testing.TB) crdschema.Schema {
	t.Helper()
	return crdschema.Read(t, "../../charts/epitaph/crds/epitaph-k8s.io_podobituaries.yaml")
}

func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	sent := map[string]any{"spec": map[string]any{
		"podName": "p", "podUID": "u", "code": "X", "class": "fun",
		"created": "2026-11-23T12:00:00Z", "removed": "2026-11-23T12:00:00Z",
	}}
	if problems := schema(t).Problems(sent); len(problems) != 1 {
		t.Errorf("%d problems, want the one of the class: %v", len(problems), problems)
	}
}

func TestHostilePodsHaveObituaries(t *testing.T) {
	t.Parallel()
	evil := strings.Repeat("\x1b]0;owned\x07<script>alert(1)</script>\u202e", 5000)
	many := corev1.ResourceList{corev1.ResourceName(evil): resource.MustParse("1")}
	for n := range 100 {
		many[corev1.ResourceName(fmt.Sprintf("example.com/r%02d", n))] = resource.MustParse("1")
	}
	never := metav1.NewTime(time.Date(292277, 1, 1, 0, 0, 0, 0, time.UTC))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: strings.Repeat("a.", 126) + "b",
			UID:               "8f6f7c1e-4f0a-4a52-9a3e-0d3d5a1b2c3d",
			DeletionTimestamp: &never, DeletionGracePeriodSeconds: ptr.To(int64(-1 << 62)),
			OwnerReferences: []metav1.OwnerReference{
				{Kind: evil, Name: evil, UID: types.UID(evil), Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{NodeName: evil, Containers: []corev1.Container{{
			Resources: corev1.ResourceRequirements{Requests: many, Limits: many}}}},
		Status: corev1.PodStatus{Phase: corev1.PodPhase(evil),
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: evil, Image: evil,
				State: corev1.ContainerState{
					Terminated: &corev1.ContainerStateTerminated{Reason: evil, Message: evil,
						StartedAt: never, FinishedAt: never}},
			}}},
	}
	o := Of(pod, reason.Reason{Code: reason.Code(evil), Text: reason.Text(evil), By: evil}, noon)
	schema(t).Accepts(t, o, maxBytes)
	if c := o.Spec.Containers[0]; len(c.Image) > MaxImageBytes || len(c.Message) > MaxMessageBytes ||
		strings.ContainsAny(c.Image+c.Message, "\x1b\x07\u202e") || c.Image == "" || c.Message == "" {
		t.Errorf("a terminal would obey %q, %q", c.Image, c.Message)
	}
	if n := len(o.Spec.Requests); n != maxResources || o.Spec.Limits[evil] != "" {
		t.Errorf("it has %d resources, want %d: %v", n, maxResources, o.Spec.Requests)
	}
	got := Labels(map[string]string{"team": "a", "app": evil, evil: "x", "secret": "s"},
		func(key string) bool { return key != "secret" })
	if want := map[string]string{"team": "a"}; !maps.Equal(got, want) {
		t.Errorf("its labels are %v, want %v", got, want)
	}
	all := map[string]string{}
	for n := range 100 {
		all[fmt.Sprintf("l%02d", n)] = "x"
	}
	if got := Labels(all, func(string) bool { return true }); len(got) != maxLabels {
		t.Errorf("it has %d labels, want %d", len(got), maxLabels)
	}
}

// Who asked for the deletion, and the scheduler's words about a preemption, are others' text, too.
func TestHostileRemoversHaveObituaries(t *testing.T) {
	t.Parallel()
	evil := strings.Repeat("\x1b]0;owned\x07<script>alert(1)</script>\u202e", 1<<15) // 1 MB
	told := metav1.NewTime(noon)
	pod := worker(func(p *corev1.Pod) {
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &told, ptr.To(int64(0))
		p.Annotations = map[string]string{
			reason.WrittenKey: noon.Format(time.RFC3339) + " asked " + evil}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget,
			Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
			Message: evil}}
	})
	r := reason.Reason{Code: reason.Preempted, Text: reason.Text(evil), Supposed: true}
	o := Of(pod, r, noon)
	o.Spec.Preemption = PreemptionOf(pod, r)
	schema(t).Accepts(t, o, maxBytes)
	if by := o.Spec.DeletedBy; !strings.Contains(by, "owned") {
		t.Errorf("it was deleted by %q", by)
	}
	if p := o.Spec.Preemption; p == nil || !strings.Contains(p.Condition, "owned") {
		t.Errorf("what is known of the preemption is %+v", p)
	}
}

// The end of a message is what tells: an error is the last that a program says.
func TestTheEndOfAMessageIsKept(t *testing.T) {
	t.Parallel()
	pod := worker(func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 1,
				Message: strings.Repeat("working\n", 500) + "no space left on device\n"}}
	})
	c := Of(pod, reason.Reason{}, noon).Spec.Containers[1]
	if len(c.Message) > MaxMessageBytes || !strings.HasSuffix(c.Message,
		"no space left on device") {
		t.Errorf("it said %q", c.Message)
	}
}

func FuzzObituaryIsAccepted(f *testing.F) {
	by := schema(f)
	f.Add("p", "n1", "main", "Error", "Job", "by", "text", "Code", int64(0), int64(30), int32(1))
	f.Add("a.b", "", "\x00", "\xff", strings.Repeat("é", 300), "\u2028", strings.Repeat("x", 2000),
		"", int64(1)<<62, int64(-1)<<62, int32(-1))
	f.Fuzz(func(t *testing.T, name, node, container, why, owner, actor, text, code string, when,
		grace int64, n int32) {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			t.Skip("no pod has that name")
		}
		moment := metav1.NewTime(time.Unix(when, 0))
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "n", Name: name, UID: "8f6f7c1e-4f0a-4a52-9a3e-0d3d5a1b2c3d",
				CreationTimestamp: moment,
				DeletionTimestamp: &moment, DeletionGracePeriodSeconds: &grace,
				OwnerReferences: []metav1.OwnerReference{
					{Kind: owner, Name: owner, UID: types.UID(owner), Controller: ptr.To(true)}},
			},
			Spec:   corev1.PodSpec{NodeName: node},
			Status: corev1.PodStatus{Phase: corev1.PodPhase(why)},
		}
		states := []corev1.ContainerState{
			{}, {Waiting: &corev1.ContainerStateWaiting{Reason: why}},
			{Running: &corev1.ContainerStateRunning{StartedAt: moment}},
			{Terminated: &corev1.ContainerStateTerminated{Reason: why, Message: text, ExitCode: n,
				StartedAt: moment, FinishedAt: moment}},
		}
		for range max(0, min(n, 40)) {
			for _, s := range states {
				pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses,
					corev1.ContainerStatus{Name: container, State: s, RestartCount: n})
			}
		}
		by.Accepts(t,
			Of(pod, reason.Reason{Code: reason.Code(code), Text: reason.Text(text), By: actor},
				noon), maxBytes)
	})
}
