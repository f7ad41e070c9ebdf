package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/encoding/json"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// decodeReview decodes what we use of a review, and checks its depth. Its objects stay parts of the
// body and are not copied.
func decodeReview(body []byte) (*admissionv1.AdmissionReview, error) {
	review, c := &admissionv1.AdmissionReview{}, cursor{text: body}
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "kind":
			review.Kind = c.string()
		case "apiVersion":
			review.APIVersion = c.string()
		case "request":
			c.request(review)
		default:
			c.value()
		}
	}
	switch {
	case errors.Is(c.err, errTooDeep):
		return nil, errTooDeep
	case c.err != nil:
		return nil, fmt.Errorf("the body is not an AdmissionReview: %w", c.err)
	case !c.end():
		return nil, errors.New("the body is not an AdmissionReview: something follows it")
	case review.Kind != "AdmissionReview" ||
		review.APIVersion != admissionv1.SchemeGroupVersion.String():
		return nil, errors.New("the body must be an AdmissionReview of admission.k8s.io/v1")
	case review.Request == nil || review.Request.UID == "":
		return nil, errors.New("the review has no request with a UID")
	}
	return review, nil
}

// request reads the request of a review.
func (c *cursor) request(of *admissionv1.AdmissionReview) {
	q := &admissionv1.AdmissionRequest{}
	of.Request = q
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "uid":
			q.UID = types.UID(c.string())
		case "kind":
			c.kind(&q.Kind)
		case "resource":
			c.resource(&q.Resource)
		case "subResource":
			q.SubResource = c.string()
		case "name":
			q.Name = c.string()
		case "namespace":
			q.Namespace = c.string()
		case "operation":
			q.Operation = admissionv1.Operation(c.string())
		case "userInfo":
			c.user(&q.UserInfo)
		case "object":
			q.Object = extension(c.value())
		case "oldObject":
			q.OldObject = extension(c.value())
		case "dryRun":
			c.into(&q.DryRun)
		case "options":
			q.Options = extension(c.value())
		default:
			c.value()
		}
	}
}

func (c *cursor) kind(k *metav1.GroupVersionKind) {
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "group":
			k.Group = c.string()
		case "version":
			k.Version = c.string()
		case "kind":
			k.Kind = c.string()
		default:
			c.value()
		}
	}
}

func (c *cursor) resource(r *metav1.GroupVersionResource) {
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "group":
			r.Group = c.string()
		case "version":
			r.Version = c.string()
		case "resource":
			r.Resource = c.string()
		default:
			c.value()
		}
	}
}

func (c *cursor) user(u *authenticationv1.UserInfo) {
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "username":
			u.Username = c.string()
		case "groups":
			c.into(&u.Groups)
		default:
			c.value()
		}
	}
}

// extension returns what a runtime.RawExtension reads from the text: of null, nothing.
func extension(text []byte) runtime.RawExtension {
	if string(text) == "null" {
		return runtime.RawExtension{}
	}
	return runtime.RawExtension{Raw: text}
}

// decodePod decodes the fields of a pod to be deleted that inference, policy and the writer read.
// The rest, which is most of a pod, is skipped. Expressions get the whole object.
func decodePod(raw []byte) (*corev1.Pod, error) {
	pod, c := &corev1.Pod{}, cursor{text: raw}
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "metadata":
			c.metadata(&pod.ObjectMeta)
		case "spec":
			c.podSpec(&pod.Spec)
		case "status":
			c.podStatus(&pod.Status)
		default:
			c.value()
		}
	}
	if c.err != nil {
		return nil, fmt.Errorf("read the oldObject of the review as a pod: %w", c.err)
	}
	return pod, nil
}

func (c *cursor) metadata(m *metav1.ObjectMeta) {
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "name":
			m.Name = c.string()
		case "namespace":
			m.Namespace = c.string()
		case "uid":
			m.UID = types.UID(c.string())
		case "creationTimestamp":
			m.CreationTimestamp = c.time()
		case "deletionTimestamp":
			m.DeletionTimestamp = nil
			if c.peek() != 'n' {
				m.DeletionTimestamp = ptr.To(c.time())
			} else {
				c.value()
			}
		case "deletionGracePeriodSeconds":
			c.into(&m.DeletionGracePeriodSeconds)
		case "labels":
			c.pairs(&m.Labels)
		case "annotations":
			c.pairs(&m.Annotations)
		case "ownerReferences":
			c.into(&m.OwnerReferences)
		case "finalizers":
			c.into(&m.Finalizers)
		default:
			c.value()
		}
	}
}

func (c *cursor) podSpec(s *corev1.PodSpec) {
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "nodeName":
			s.NodeName = c.string()
		case "priority":
			c.into(&s.Priority)
		case "tolerations": // which taints drive the pod off its node depends on them
			c.into(&s.Tolerations)
		case "resourceClaims": // whose devices may be tainted
			c.into(&s.ResourceClaims)
		case "terminationGracePeriodSeconds":
			c.into(&s.TerminationGracePeriodSeconds)
		default:
			c.value()
		}
	}
}

func (c *cursor) podStatus(s *corev1.PodStatus) {
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "phase":
			s.Phase = corev1.PodPhase(c.string())
		case "reason":
			s.Reason = c.string()
		case "message":
			s.Message = c.string()
		case "conditions":
			s.Conditions = c.conditions()
		case "resourceClaimStatuses":
			c.into(&s.ResourceClaimStatuses)
		case "extendedResourceClaimStatus":
			c.into(&s.ExtendedResourceClaimStatus)
		case "initContainerStatuses":
			s.InitContainerStatuses = c.ill()
		case "containerStatuses":
			s.ContainerStatuses = c.ill()
		default:
			c.value()
		}
	}
}

// pairs reads labels or annotations.
func (c *cursor) pairs(m *map[string]string) {
	for name, ok := c.first(); ok; name, ok = c.field() {
		if *m == nil {
			*m = make(map[string]string, pairs)
		}
		(*m)[string(name)] = c.string()
	}
}

// conditions bounds the conditions of most pods.
const conditions = 6

// conditions reads the conditions of a pod.
func (c *cursor) conditions() (all []corev1.PodCondition) {
	for n := 0; c.element(n); n++ {
		if n == 0 {
			all = make([]corev1.PodCondition, 0, conditions)
		}
		all = append(all, corev1.PodCondition{})
		c.condition(&all[n])
	}
	return all
}

func (c *cursor) condition(p *corev1.PodCondition) {
	for name, ok := c.first(); ok; name, ok = c.field() {
		switch string(name) {
		case "type":
			p.Type = corev1.PodConditionType(c.string())
		case "status":
			p.Status = corev1.ConditionStatus(c.string())
		case "reason":
			p.Reason = c.string()
		case "message":
			p.Message = c.string()
		case "lastTransitionTime":
			p.LastTransitionTime = c.time()
		case "observedGeneration":
			c.into(&p.ObservedGeneration)
		default:
			c.value()
		}
	}
}

// time reads the next value as a moment; of null, it is zero. The decoder of [metav1.Time] takes
// nine allocations for each.
func (c *cursor) time() metav1.Time {
	text := c.value()
	if c.err == nil && text[0] == '"' && plain(text[1:len(text)-1]) {
		if at, err := time.Parse(time.RFC3339, string(text[1:len(text)-1])); err == nil {
			return metav1.NewTime(at.Local())
		}
	}
	return c.rareTime(text)
}

func (c *cursor) rareTime(text []byte) (at metav1.Time) {
	if c.err == nil {
		c.decode(text, &at)
	}
	return at
}

// ill reads the containers with unhealthy devices from the statuses of containers. Those that name
// no device, which are most, are not looked into.
func (c *cursor) ill() (some []corev1.ContainerStatus) {
	text := c.value()
	if c.err != nil || !bytes.Contains(text, []byte(`"allocatedResourcesStatus"`)) {
		return nil
	}
	var all []doomedContainer
	c.decode(text, &all)
	for _, one := range all {
		if ill := reason.Ill(one.AllocatedResourcesStatus); len(ill) > 0 {
			some = append(some, corev1.ContainerStatus{AllocatedResourcesStatus: ill})
		}
	}
	return some
}

// A doomedContainer has the health of a container's devices.
type doomedContainer struct {
	AllocatedResourcesStatus []corev1.ResourceStatus `json:"allocatedResourcesStatus"`
}

// pairs bounds the labels, or the annotations, of most pods.
const pairs = 8

// decodeNode decodes a whole node: its obituary needs most of it, and nodes are few.
func decodeNode(raw []byte) (*corev1.Node, error) {
	node := &corev1.Node{}
	if err := json.Unmarshal(raw, node); err != nil {
		return nil, fmt.Errorf("read the oldObject of the review as a node: %w", err)
	}
	return node, nil
}
