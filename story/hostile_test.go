package story

import (
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/test/hostile"
)

// Whatever is in whichever field of a record, a story is text, for people and in the prose for
// programs.
func TestHostileRecordsAreText(t *testing.T) {
	t.Parallel()
	pod, node := &v1alpha1.PodObituary{}, &v1alpha1.NodeObituary{}
	pod.Namespace = hostile.Text
	hostile.Fill(&pod.Spec)
	hostile.Fill(&node.Spec)
	deletion := &v1alpha1.OwnerObituarySpec{}
	hostile.Fill(deletion)
	prose := map[string]string{"a node": OfNode(node, []v1alpha1.PodObituary{*pod}).String(),
		"data of a node": DataOfNode(node, nil).Prose}
	for _, state := range []v1alpha1.ContainerState{v1alpha1.Running, v1alpha1.Exited,
		v1alpha1.NeverStarted, hostile.Text} {
		o := pod.DeepCopy()
		o.Spec.Containers[0].State = state
		for here, name := range map[bool]string{false: " gone", true: " here"} {
			f := Facts{Pod: o, Node: node, Here: here}
			prose[string(state)+name] = OfPod(f).String()
			prose["data of "+string(state)+name] = f.Data().Prose
		}
		w := Workload{APIVersion: hostile.Text, Kind: hostile.Text, Namespace: hostile.Text,
			Name: hostile.Text, Gone: true, Deletion: deletion, Pods: []v1alpha1.PodObituary{*o},
			Here: []v1alpha1.PodObituary{*o}}
		prose["an owner "+string(state)] = OfWorkload(w).String()
	}
	for of, text := range prose {
		if found, ok := hostile.Obeyed(text); ok {
			t.Errorf("%.60q lets a terminal obey %q", of, found)
		}
		if !strings.Contains(text, "owned") {
			t.Errorf("%.60q has nothing of what was written: %s", of, text)
		}
	}
}
