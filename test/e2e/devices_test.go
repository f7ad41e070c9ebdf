package e2e

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// devicesAPI is what Kubernetes has by default since 1.34.
var devicesAPI = resourcev1.SchemeGroupVersion.String()

// has tells whether the API server has a version of a group, and logs it if it does not.
func (c *cluster) has(t *testing.T, groupVersion string) bool {
	t.Helper()
	_, err := c.client.Discovery().ServerResourcesForGroupVersion(groupVersion)
	if apierrors.IsNotFound(err) {
		t.Logf("this release of Kubernetes has no %s", groupVersion)
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

const deviceTaintController = "system:serviceaccount:kube-system:device-taint-eviction-controller"

// aDevice publishes the only device of a driver, on a node of its own, and has a pod use it. It
// returns the driver.
func (c *cluster) aDevice(t *testing.T, ns string) (driver string) {
	t.Helper()
	ctx, api, node := t.Context(), c.client.ResourceV1(), c.node(t).Name
	driver = unique("gpu") + ".example.com"
	class := &resourcev1.DeviceClass{
		ObjectMeta: metav1.ObjectMeta{Name: driver},
		Spec: resourcev1.DeviceClassSpec{Selectors: []resourcev1.DeviceSelector{{
			CEL: &resourcev1.CELDeviceSelector{Expression: `device.driver == "` + driver + `"`},
		}}},
	}
	slice := &resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: driver},
		Spec: resourcev1.ResourceSliceSpec{
			Driver: driver, NodeName: &node, Pool: resourcev1.ResourcePool{Name: node,
				Generation: 1, ResourceSliceCount: 1},
			Devices: []resourcev1.Device{{Name: "gpu-0"}},
		},
	}
	claim := &resourcev1.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "gpu"},
		Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{
			Requests: []resourcev1.DeviceRequest{{
				Name: "gpu", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: driver},
			}}}},
	}
	if _, err := api.DeviceClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ResourceSlices().Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ResourceClaims(ns).Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.pod(t, ns, node, "trainer", func(p *corev1.Pod) {
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{
			{Name: "gpu", ResourceClaimName: ptr.To("gpu")}}
		p.Spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
	})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		_ = api.ResourceSlices().Delete(ctx, driver, metav1.DeleteOptions{})
		_ = api.DeviceClasses().Delete(ctx, driver, metav1.DeleteOptions{})
	})
	return driver
}

// The driver taints a device that fails, and the real controller evicts its user without a word of
// which device or why (KEP-5055). The kubelet had said what is wrong with it (KEP-4680).
func TestDeviceThatItsDriverTaints(t *testing.T) {
	t.Parallel()
	ns := shared.namespace(t)
	driver := shared.aDevice(t, ns)
	slices := shared.client.ResourceV1().ResourceSlices()
	slice, err := slices.Get(t.Context(), driver, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ill := encode(t,
		map[string]any{"status": map[string]any{"containerStatuses": []any{map[string]any{
			"name": "main", "allocatedResourcesStatus": []corev1.ResourceStatus{{
				Name: "claim:gpu", Resources: []corev1.ResourceHealth{{
					ResourceID: corev1.ResourceID(driver + "/" + slice.Spec.Pool.Name + "/gpu-0"),
					Health:     corev1.ResourceHealthStatusUnhealthy,
					Message:    ptr.To("XID 79, GPU has fallen off the bus"),
				}},
			}},
		}}}})
	if _, err := shared.client.CoreV1().Pods(ns).Patch(t.Context(),
		"trainer", types.StrategicMergePatchType, ill, metav1.PatchOptions{},
		"status"); err != nil {
		t.Fatal(err)
	}
	shared.driverTaints(t, driver)
	shared.leaves(t, reason.Pod, ns+"/trainer", reason.New(reason.Pod, reason.HardwareFailure,
		"device gpu-0 of "+driver+
			" is tainted example.com/unhealthy=fell-off-the-bus: XID 79, GPU has fallen off the bus", deviceTaintController))
}

// driverTaints has the driver taint its only device.
func (c *cluster) driverTaints(t *testing.T, driver string) {
	t.Helper()
	slices := c.client.ResourceV1().ResourceSlices()
	taint := resourcev1.DeviceTaint{Key: "example.com/unhealthy", Value: "fell-off-the-bus",
		Effect: resourcev1.DeviceTaintEffectNoExecute}
	c.eventually(t, "the driver taints the device", func(ctx context.Context) (bool, error) {
		slice, err := slices.Get(ctx, driver, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		slice.Spec.Devices[0].Taints = []resourcev1.DeviceTaint{taint}
		_, err = slices.Update(ctx, slice, metav1.UpdateOptions{})
		return err == nil, ignoreConflict(err)
	})
}

// theDeviceIsNotNamed has a pod driven off its device while Epitaph may not look the device up.
func theDeviceIsNotNamed(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	driver := c.aDevice(t, ns)
	c.driverTaints(t, driver)
	d := c.leaves(t, reason.Pod, ns+"/trainer", reason.Reason{})
	if d.Reason.Text == "" || strings.Contains(string(d.Reason.Text), driver) {
		t.Errorf("the pod left with %+v, want a reason that does not name the device", d.Reason)
	}
}

func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// An administrator who taints a device with a rule plans something: no hardware has failed.
func TestDeviceThatAnAdministratorTaints(t *testing.T) {
	t.Parallel()
	ns := shared.namespace(t)
	driver := shared.aDevice(t, ns)
	rule := &resourcev1.DeviceTaintRule{
		ObjectMeta: metav1.ObjectMeta{Name: unique("firmware-week-47")},
		Spec: resourcev1.DeviceTaintRuleSpec{
			DeviceSelector: &resourcev1.DeviceTaintSelector{Driver: &driver},
			Taint: resourcev1.DeviceTaint{Key: "example.com/maintenance",
				Value: "firmware", Effect: resourcev1.DeviceTaintEffectNoExecute},
		},
	}
	rules := shared.client.ResourceV1().DeviceTaintRules()
	if _, err := rules.Create(t.Context(), rule, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(
		func() {
			_ = rules.Delete(context.WithoutCancel(t.Context()), rule.Name,
				metav1.DeleteOptions{})
		})
	shared.leaves(t, reason.Pod, ns+"/trainer", reason.New(reason.Pod, reason.Evicted,
		"maintenance: DeviceTaintRule "+rule.Name+" taints device gpu-0 of "+driver+
			" example.com/maintenance=firmware", deviceTaintController))
}
