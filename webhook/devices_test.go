package webhook

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A rack is what an API server has of devices.
type rack struct {
	claims  map[string]*resourcev1.ResourceClaim
	slices  []resourcev1.ResourceSlice
	rules   []resourcev1.DeviceTaintRule
	noRules bool
}

func (r rack) Get(_ context.Context, key client.ObjectKey, obj client.Object,
	_ ...client.GetOption) error {
	claim, ok := r.claims[key.String()]
	if !ok {
		return apierrors.NewNotFound(resourcev1.Resource("resourceclaims"), key.Name)
	}
	claim.DeepCopyInto(obj.(*resourcev1.ResourceClaim))
	return nil
}

func (r rack) List(ctx context.Context, list client.ObjectList,
	options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	switch l := list.(type) {
	case *resourcev1.ResourceSliceList:
		for _, s := range r.slices {
			driver, _ := o.FieldSelector.RequiresExactMatch("spec.driver")
			node, _ := o.FieldSelector.RequiresExactMatch("spec.nodeName")
			if s.Spec.Driver == driver && ptr.Deref(s.Spec.NodeName, "") == node {
				l.Items = append(l.Items, s)
			}
		}
	case *resourcev1.DeviceTaintRuleList:
		if r.noRules {
			return &meta.NoKindMatchError{}
		}
		l.Items = r.rules
	default:
		return errors.New("nobody asks for that")
	}
	return ctx.Err()
}

func aSlice(node *string, generation int64, device string,
	taints ...resourcev1.DeviceTaint) resourcev1.ResourceSlice {
	return resourcev1.ResourceSlice{Spec: resourcev1.ResourceSliceSpec{
		Driver: "d", NodeName: node, Pool: resourcev1.ResourcePool{Name: "pool",
			Generation: generation},
		Devices: []resourcev1.Device{{Name: "other"}, {Name: device, Taints: taints}},
	}}
}

func evicting(key, value string) resourcev1.DeviceTaint {
	return resourcev1.DeviceTaint{Key: key, Value: value,
		Effect: resourcev1.DeviceTaintEffectNoExecute}
}

func aRule(name string, s *resourcev1.DeviceTaintSelector) resourcev1.DeviceTaintRule {
	return resourcev1.DeviceTaintRule{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       resourcev1.DeviceTaintRuleSpec{DeviceSelector: s, Taint: evicting("plan", "")},
	}
}

// Which taints evict is decided as the controller that evicts decides it.
func TestDeviceTaints(t *testing.T) {
	t.Parallel()
	n1 := ptr.To("n1")
	bad := evicting("bad", "x")
	broken := reason.DeviceTaint{Driver: "d", Pool: "pool", Device: "gpu-0", Key: "bad", Value: "x"}
	planned := reason.DeviceTaint{Driver: "d", Pool: "pool", Device: "gpu-0", Key: "plan",
		Rule: "all"}
	for name, tc := range map[string]struct {
		tolerations []resourcev1.DeviceToleration
		slices      []resourcev1.ResourceSlice
		rules       []resourcev1.DeviceTaintRule
		noRules     bool
		want        []reason.DeviceTaint
	}{
		"nothing is known": {},
		"a device of the node": {slices: []resourcev1.ResourceSlice{
			aSlice(n1, 1, "gpu-0", bad)}, want: []reason.DeviceTaint{broken}},
		"a device of no node": {slices: []resourcev1.ResourceSlice{
			aSlice(nil, 1, "gpu-0", bad)}, want: []reason.DeviceTaint{broken}},
		"a device of another node": {slices: []resourcev1.ResourceSlice{
			aSlice(ptr.To("n2"), 1, "gpu-0", bad)}},
		"a pool that is out of date": {slices: []resourcev1.ResourceSlice{
			aSlice(n1, 1, "gpu-0", bad), aSlice(n1, 2, "gpu-0")}},
		"a taint that does not evict": {slices: []resourcev1.ResourceSlice{
			aSlice(n1, 1, "gpu-0", resourcev1.DeviceTaint{Key: "bad", Effect: "NoSchedule"})}},
		"another device": {slices: []resourcev1.ResourceSlice{
			aSlice(n1, 1, "gpu-1", bad)}},
		"tolerated for ever": {tolerations: []resourcev1.DeviceToleration{
			{Operator: "Exists", Effect: "NoExecute"}}, slices: []resourcev1.ResourceSlice{
			aSlice(n1, 1, "gpu-0", bad)}},
		"tolerated by its value": {tolerations: []resourcev1.DeviceToleration{
			{Key: "bad", Value: "x", Effect: "NoExecute"}}, slices: []resourcev1.ResourceSlice{
			aSlice(n1, 1, "gpu-0", bad)}},
		"another value is tolerated": {tolerations: []resourcev1.DeviceToleration{
			{Key: "bad", Value: "y", Effect: "NoExecute"}}, slices: []resourcev1.ResourceSlice{
			aSlice(n1, 1, "gpu-0", bad)}, want: []reason.DeviceTaint{broken}},
		"tolerated for a time": {tolerations: []resourcev1.DeviceToleration{
			{Operator: "Exists", Effect: "NoExecute",
				TolerationSeconds: ptr.To(int64(5))}}, slices: []resourcev1.ResourceSlice{aSlice(n1,
			1, "gpu-0", bad)}, want: []reason.DeviceTaint{broken}},
		"a rule for all devices": {rules: []resourcev1.DeviceTaintRule{
			aRule("all", &resourcev1.DeviceTaintSelector{})}, want: []reason.DeviceTaint{planned}},
		"a rule for none": {rules: []resourcev1.DeviceTaintRule{aRule("none", nil)}},
		"a rule for another driver": {rules: []resourcev1.DeviceTaintRule{
			aRule("other", &resourcev1.DeviceTaintSelector{Driver: ptr.To("e")})}},
		"a rule for another device": {rules: []resourcev1.DeviceTaintRule{
			aRule("other", &resourcev1.DeviceTaintSelector{Device: ptr.To("gpu-1")})}},
		"a cluster that has no rules": {slices: []resourcev1.ResourceSlice{
			aSlice(n1, 1, "gpu-0", bad)}, noRules: true, want: []reason.DeviceTaint{broken}},
		"a rule and the driver, at once": {
			slices: []resourcev1.ResourceSlice{aSlice(n1, 1, "gpu-0", bad)},
			rules: []resourcev1.DeviceTaintRule{
				aRule("all", &resourcev1.DeviceTaintSelector{Pool: ptr.To("pool")})},
			want: []reason.DeviceTaint{broken, planned},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claim := &resourcev1.ResourceClaim{
				Status: resourcev1.ResourceClaimStatus{Allocation: &resourcev1.AllocationResult{
					Devices: resourcev1.DeviceAllocationResult{
						Results: []resourcev1.DeviceRequestAllocationResult{{
							Driver: "d", Pool: "pool", Device: "gpu-0", Tolerations: tc.tolerations,
						}}},
				}}}
			h := &Handler{live: rack{map[string]*resourcev1.ResourceClaim{"batch/gpu-x7k2p": claim},
				tc.slices, tc.rules, tc.noRules}}
			f := reason.Facts{
				Pod: aPod(func(p *corev1.Pod) {
					p.Spec.ResourceClaims = []corev1.PodResourceClaim{
						{Name: "gone", ResourceClaimName: ptr.To("gone")},
						{Name: "gpu", ResourceClaimTemplateName: ptr.To("gpu")}}
					p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{
						{Name: "gpu", ResourceClaimName: ptr.To("gpu-x7k2p")}}
				}),
				Remover: reason.Remover{Actor: reason.DeviceTaintController},
			}
			h.deviceFacts(t.Context(), &f)
			if diff := cmp.Diff(tc.want, f.DeviceTaints); diff != "" {
				t.Error(diff)
			}
			f.DeviceTaints, f.Remover.Actor = nil, reason.Person
			if h.deviceFacts(t.Context(), &f); f.DeviceTaints != nil {
				t.Errorf("looked up for a person's delete: %+v", f.DeviceTaints)
			}
		})
	}
}

// A pod of many claims, and an API server that does not answer, hold nobody up.
func TestDeviceLookupIsBounded(t *testing.T) {
	t.Parallel()
	pod := aPod(func(p *corev1.Pod) {
		for range 100 {
			p.Spec.ResourceClaims = append(p.Spec.ResourceClaims,
				corev1.PodResourceClaim{ResourceClaimName: ptr.To("c")})
		}
		p.Status.ExtendedResourceClaimStatus = &corev1.PodExtendedResourceClaimStatus{
			ResourceClaimName: "e"}
	})
	if got := claimsOf(pod); len(got) != maxClaims {
		t.Errorf("%d claims, want %d", len(got), maxClaims)
	}
	f := reason.Facts{Pod: pod, Remover: reason.Remover{Actor: reason.DeviceTaintController}}
	if (&Handler{live: silent{}}).deviceFacts(t.Context(), &f) || f.DeviceTaints != nil {
		t.Errorf("%+v are known", f.DeviceTaints)
	}
}

// silent is an API server that does not answer.
type silent struct{ client.Reader }

func (silent) Get(ctx context.Context, _ client.ObjectKey, _ client.Object,
	_ ...client.GetOption) error {
	if _, ok := ctx.Deadline(); !ok {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return nil
	}
}
