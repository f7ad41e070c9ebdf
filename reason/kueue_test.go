package reason

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	kueueUser = "system:serviceaccount:kueue-system:kueue-controller-manager"
	jobUser   = "system:serviceaccount:kube-system:job-controller"
)

// kueueReasons are all for which Kueue evicts a Workload (kubernetes-sigs/kueue@ff69552
// apis/kueue/v1beta2/workload_types.go; those that a deactivation has are joined to it by
// pkg/workload), and one that it does not have yet. What the queue does is a disruption. A limit of
// the job's own and a person's decision are none.
var kueueReasons = map[string]Code{
	"Preempted":                              Preempted,
	"FlavorMigration":                        Evicted,
	"PodsReadyTimeout":                       Evicted,
	"AdmissionCheck":                         Evicted,
	"ClusterQueueStopped":                    Evicted,
	"LocalQueueStopped":                      Evicted,
	"NodeFailures":                           Evicted,
	"EvictedOnManagerCluster":                Evicted,
	"Deactivated":                            Suspended,
	"DeactivatedDueToRequeuingLimitExceeded": Suspended,
	"DeactivatedDueToMaximumExecutionTimeExceeded": DeadlineExceeded,
	"DeactivatedDueToAdmissionCheck":               Evicted,
	"DeactivatedDueToEvictedOnManagerCluster":      Evicted,
	"SomethingNew": Suspended,
}

// A job's pod and a plain pod go for the same: the one says so on its Workload, the other itself.
func TestKueueReasons(t *testing.T) {
	t.Parallel()
	i := Inferrer{Keys: DefaultKeys(), Signals: DefaultSignals(),
		Identities: DefaultIdentities(), OwnerSignals: DefaultOwnerSignals()}
	now := metav1.Now()
	for why, want := range kueueReasons {
		ofJob := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "etl-x",
			UID: "p1", OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1",
				Kind: "Job", Name: "etl", UID: "j1", Controller: ptr.To(true)}}}}
		plain := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "p", UID: "p2"},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: "TerminationTarget",
				Status: corev1.ConditionTrue, Reason: "WorkloadEvictedDueTo" + why,
				Message: "words", LastTransitionTime: now}}},
		}
		for what, f := range map[string]Facts{
			"a Job's": {Pod: ofJob, Remover: RemoverOf(jobUser, nil),
				Owner: Owner{UID: "j1", Suspended: true},
				Objects: []*Object{objectOf(map[string]any{
					"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload",
					"metadata": map[string]any{"namespace": "batch", "name": "job-etl"},
					"status": map[string]any{"conditions": []any{map[string]any{
						"type": "Evicted", "status": "True", "reason": why, "message": "words"}}},
				})}},
			"a plain": {Pod: plain, Remover: RemoverOf(kueueUser, nil)},
		} {
			f.Now = now.Time
			if r, _ := i.Infer(f); r.Code != want {
				t.Errorf("%s pod that goes for %s has the code %q, want %s", what, why, r.Code,
					want)
			}
		}
	}
}
