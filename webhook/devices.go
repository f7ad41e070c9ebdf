package webhook

import (
	"cmp"
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// deviceTimeout bounds the look-up of a pod's devices: what is not known in time is left out.
	deviceTimeout = time.Second
	// maxClaims are looked at of a pod, and maxSlices of the devices of a driver.
	maxClaims = 8
	maxSlices = 256
)

// deviceFacts adds which taints drive the pod off its devices. The controller that evicts it does
// not say, so they are looked up as it does (K8s v1.37 pkg/controller/devicetainteviction,
// claimEvictionTime). If a look-up fails, they stay unknown: the sentence then says less, but
// nothing false. It reports whether there was time for it.
func (h *Handler) deviceFacts(ctx context.Context, f *reason.Facts) (known bool) {
	if !offItsDevice(f) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, deviceTimeout)
	defer cancel()
	d := devices{ctx: ctx, live: h.live, node: f.Pod.Spec.NodeName}
	f.DeviceTaints = nil
	for _, claim := range claimsOf(f.Pod) {
		f.DeviceTaints = append(f.DeviceTaints,
			d.taintsOf(types.NamespacedName{Namespace: f.Pod.Namespace, Name: claim})...)
	}
	return ctx.Err() == nil
}

// offItsDevice tells whether the pod goes because of a device: by who deletes it, or by the
// condition that the same controller leaves where all controllers have one name.
func offItsDevice(f *reason.Facts) bool {
	return f.Remover.Actor == reason.DeviceTaintController ||
		slices.ContainsFunc(f.Pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.DisruptionTarget && c.Reason == "DeletionByDeviceTaintManager"
		})
}

// claimsOf are the names of the pod's ResourceClaims.
func claimsOf(pod *corev1.Pod) (names []string) {
	for _, c := range pod.Spec.ResourceClaims {
		names = append(names, ptr.Deref(c.ResourceClaimName, ""))
	}
	for _, s := range pod.Status.ResourceClaimStatuses {
		names = append(names, ptr.Deref(s.ResourceClaimName, ""))
	}
	if s := pod.Status.ExtendedResourceClaimStatus; s != nil {
		names = append(names, s.ResourceClaimName)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	return names[:min(len(names), maxClaims)]
}

// devices looks up devices and remembers what it has read.
type devices struct {
	ctx    context.Context //nolint:containedctx // of one look-up
	live   client.Reader
	node   string
	rules  *[]resourcev1.DeviceTaintRule
	slices map[string][]resourcev1.ResourceSlice
}

// taintsOf are the taints that evict the users of a claim.
func (d *devices) taintsOf(claim types.NamespacedName) (all []reason.DeviceTaint) {
	c := &resourcev1.ResourceClaim{}
	if err := d.live.Get(d.ctx, claim, c); err != nil || c.Status.Allocation == nil {
		return nil
	}
	for _, r := range c.Status.Allocation.Devices.Results {
		evicts := func(t resourcev1.DeviceTaint, rule string) {
			if t.Effect == resourcev1.DeviceTaintEffectNoExecute && !endures(r.Tolerations, t) {
				all = append(all, reason.DeviceTaint{Driver: r.Driver, Pool: r.Pool,
					Device: r.Device, Key: t.Key, Value: t.Value, Rule: rule})
			}
		}
		for _, t := range d.driverTaints(r) {
			evicts(t, "")
		}
		for _, rule := range d.taintRules() {
			if selects(rule.Spec.DeviceSelector, r) {
				evicts(rule.Spec.Taint, rule.Name)
			}
		}
	}
	return all
}

// driverTaints are those that the driver publishes with the device.
func (d *devices) driverTaints(
	r resourcev1.DeviceRequestAllocationResult) (taints []resourcev1.DeviceTaint) {
	// The devices of the node first; others are at no node, or at several.
	for _, node := range []string{d.node, ""} {
		all := slices.DeleteFunc(slices.Clone(d.slicesOf(r.Driver, node)),
			func(s resourcev1.ResourceSlice) bool { return s.Spec.Pool.Name != r.Pool })
		if len(all) == 0 {
			continue
		}
		newest := slices.MaxFunc(all, func(a, b resourcev1.ResourceSlice) int {
			return cmp.Compare(a.Spec.Pool.Generation, b.Spec.Pool.Generation)
		})
		for _, s := range all {
			for _, device := range s.Spec.Devices {
				if s.Spec.Pool.Generation == newest.Spec.Pool.Generation &&
					device.Name == r.Device {
					return device.Taints
				}
			}
		}
	}
	return nil
}

// slicesOf are the devices of a driver at a node.
func (d *devices) slicesOf(driver, node string) []resourcev1.ResourceSlice {
	if d.slices == nil {
		d.slices = map[string][]resourcev1.ResourceSlice{}
	}
	key := driver + "/" + node
	if _, read := d.slices[key]; !read {
		list := &resourcev1.ResourceSliceList{}
		_ = d.live.List(d.ctx, list, client.Limit(maxSlices), client.MatchingFields{
			resourcev1.ResourceSliceSelectorDriver:   driver,
			resourcev1.ResourceSliceSelectorNodeName: node,
		})
		d.slices[key] = list.Items
	}
	return d.slices[key]
}

// taintRules are the administrators', of whom there are few.
func (d *devices) taintRules() []resourcev1.DeviceTaintRule {
	if d.rules == nil {
		list := &resourcev1.DeviceTaintRuleList{}
		_ = d.live.List(d.ctx, list, client.Limit(maxSlices))
		d.rules = &list.Items
	}
	return *d.rules
}

// selects tells whether a rule is for the device (K8s v1.37 pkg/controller/devicetainteviction,
// ruleMatchesDevice).
func selects(s *resourcev1.DeviceTaintSelector, r resourcev1.DeviceRequestAllocationResult) bool {
	return s != nil && ptr.Deref(s.Driver, r.Driver) == r.Driver &&
		ptr.Deref(s.Pool, r.Pool) == r.Pool && ptr.Deref(s.Device, r.Device) == r.Device
}

// endures tells whether the claim tolerates the taint forever (K8s v1.37
// k8s.io/dynamic-resource-allocation resourceclaim, ToleratesTaint).
func endures(all []resourcev1.DeviceToleration, taint resourcev1.DeviceTaint) bool {
	return slices.ContainsFunc(all, func(t resourcev1.DeviceToleration) bool {
		if t.TolerationSeconds != nil || t.Effect != taint.Effect ||
			t.Key != "" && t.Key != taint.Key {
			return false
		}
		return t.Operator == resourcev1.DeviceTolerationOpExists ||
			(t.Operator == "" || t.Operator == resourcev1.DeviceTolerationOpEqual) &&
				t.Value == taint.Value
	})
}
