package reason

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A Signal is a rule that reads one condition or one taint of a Node. Signals are data: [DefaultSignals] come with the
// program, and the configuration puts its own before them.
type Signal struct {
	// Condition is the type of a node condition. Exactly one of Condition and Taint is set.
	Condition string `json:"condition,omitempty" validate:"required_without=Taint,excluded_with=Taint"`
	// Status that the condition must have.
	Status corev1.ConditionStatus `json:"status,omitempty" validate:"required_with=Condition,omitempty,oneof=True False Unknown"`
	// ConditionReason, where set, is how the condition's reason must start.
	ConditionReason string `json:"conditionReason,omitempty" validate:"excluded_with=Taint"`
	// MessageHolds, where set, is text that the condition's message must hold.
	MessageHolds string `json:"messageHolds,omitempty" validate:"excluded_with=Taint"`
	// Taint is the key of a taint.
	Taint string `json:"taint,omitempty"`
	// Code that the signal leads to.
	Code Code `json:"code" validate:"required,nodecode"`
	// Source is the project (and version) that emits the signal.
	Source string `json:"source,omitempty"`
}

// DefaultSignals are what well-known components leave on a Node, the root causes first: the first that matches wins, and a
// disk that failed explains why the node then stopped answering.
func DefaultSignals() []Signal {
	const (
		kernel  = "kubernetes/node-problem-detector@6632ca6 config/kernel-monitor.json"
		systemd = "kubernetes/node-problem-detector@6632ca6 config/systemd-monitor-counter.json"
		health  = "kubernetes/node-problem-detector@6632ca6 config/health-checker-*.json"
		npdNet  = "kubernetes/node-problem-detector@6632ca6 config/kernel-monitor-counter.json"
		eks     = "aws/eks-node-monitoring-agent@51af549 pkg/reasons/reasons.yaml"
		aks     = "Azure AKS docs, node-problem-detector on AKS"
		nth     = "aws/aws-node-termination-handler@62a8761 pkg/node/node.go"
		medik   = "medik8s/self-node-remediation, medik8s/fence-agents-remediation, medik8s/node-maintenance-operator docs"
	)
	return []Signal{
		{Condition: "ReadonlyFilesystem", Status: corev1.ConditionTrue, Code: HardwareFailure, Source: kernel},
		{Condition: "XfsShutdown", Status: corev1.ConditionTrue, Code: HardwareFailure, Source: kernel},
		{Condition: "CperHardwareErrorFatal", Status: corev1.ConditionTrue, Code: HardwareFailure, Source: kernel},
		{Condition: "AcceleratedHardwareReady", Status: corev1.ConditionFalse, Code: HardwareFailure, Source: eks},
		{Condition: "StorageReady", Status: corev1.ConditionFalse, Code: HardwareFailure, Source: eks},
		{Condition: "VMEventScheduled", Status: corev1.ConditionTrue, ConditionReason: "Preempt", Code: SpotInterrupted, Source: aks},
		{Condition: "VMEventScheduled", Status: corev1.ConditionTrue, ConditionReason: "Redeploy", Code: HardwareFailure, Source: aks},
		{Condition: "VMEventScheduled", Status: corev1.ConditionTrue, ConditionReason: "Terminate", Code: NodeScaledDown, Source: aks},
		{Condition: "VMEventScheduled", Status: corev1.ConditionTrue, ConditionReason: "Reboot", Code: NodeShutdown, Source: aks},
		{Taint: "aws-node-termination-handler/scheduled-maintenance", Code: HardwareFailure, Source: nth},
		{Taint: "aws-node-termination-handler/spot-itn", Code: SpotInterrupted, Source: nth},
		{Taint: "aws-node-termination-handler/rebalance-recommendation", Code: SpotInterrupted, Source: nth},
		{Taint: "aws-node-termination-handler/asg-lifecycle-termination", Code: NodeScaledDown, Source: nth},
		{Taint: "cloud.google.com/impending-node-termination", Code: SpotInterrupted, Source: "GKE docs, graceful node termination"},
		{Taint: "ToBeDeletedByClusterAutoscaler", Code: NodeScaledDown, Source: "kubernetes/autoscaler cluster-autoscaler/utils/taints/taints.go"},
		{Taint: "karpenter.sh/disrupted", Code: NodeScaledDown, Source: "kubernetes-sigs/karpenter@2266468 pkg/apis/v1/taints.go"},
		{Taint: corev1.TaintNodeOutOfService, Code: OutOfService, Source: "KEP-2268"},
		{Taint: "node.cloudprovider.kubernetes.io/shutdown", Code: CloudInstanceGone, Source: "k8s.io/cloud-provider v0.37 api/well_known_taints.go"},
		{Condition: "Ready", Status: corev1.ConditionFalse, MessageHolds: "node is shutting down", Code: NodeShutdown, Source: "kubelet v1.37 pkg/kubelet/nodeshutdown"},
		// The two fence a node that does not answer, whatever the cause.
		{Taint: "remediation.medik8s.io/self-node-remediation", Code: NodeUnreachable, Source: medik},
		{Taint: "remediation.medik8s.io/fence-agents-remediation", Code: NodeUnreachable, Source: medik},
		{Taint: "medik8s.io/drain", Code: NodeDrained, Source: medik},
		{Condition: "KernelDeadlock", Status: corev1.ConditionTrue, Code: NodeUnreachable, Source: kernel},
		{Condition: "KernelReady", Status: corev1.ConditionFalse, Code: NodeUnreachable, Source: eks},
		{Condition: "ContainerRuntimeReady", Status: corev1.ConditionFalse, Code: NodeUnreachable, Source: eks},
		{Condition: "NetworkingReady", Status: corev1.ConditionFalse, Code: NodeUnreachable, Source: eks},
		{Condition: "FrequentKubeletRestart", Status: corev1.ConditionTrue, Code: NodeUnreachable, Source: systemd},
		{Condition: "FrequentContainerdRestart", Status: corev1.ConditionTrue, Code: NodeUnreachable, Source: systemd},
		{Condition: "KubeletUnhealthy", Status: corev1.ConditionTrue, Code: NodeUnreachable, Source: health},
		{Condition: "ContainerRuntimeUnhealthy", Status: corev1.ConditionTrue, Code: NodeUnreachable, Source: health},
		{Condition: "FrequentUnregisterNetDevice", Status: corev1.ConditionTrue, Code: NodeUnreachable, Source: npdNet},
		{Condition: "Ready", Status: corev1.ConditionUnknown, Code: NodeUnreachable, Source: "KEP-589, kube-controller-manager v1.37 pkg/controller/nodelifecycle"},
		{Condition: "Ready", Status: corev1.ConditionFalse, Code: NodeUnreachable, Source: "kubelet v1.37"},
		// The taints outlive the conditions by a moment.
		{Taint: corev1.TaintNodeUnreachable, Code: NodeUnreachable, Source: "kube-controller-manager v1.37 pkg/controller/nodelifecycle"},
		{Taint: corev1.TaintNodeNotReady, Code: NodeUnreachable, Source: "kube-controller-manager v1.37 pkg/controller/nodelifecycle"},
	}
}

// match returns the reason that the signal gives the node.
func (s Signal) match(node *corev1.Node, by string) (Reason, bool) {
	if s.Taint != "" {
		for _, t := range node.Spec.Taints {
			if t.Key == s.Taint {
				return New(Node, s.Code, s.detail(node, t.Key, t.Value), by), true
			}
		}
		return Reason{}, false
	}
	c := nodeCondition(node, corev1.NodeConditionType(s.Condition))
	if c == nil || c.Status != s.Status || !strings.HasPrefix(c.Reason, s.ConditionReason) || !strings.Contains(c.Message, s.MessageHolds) {
		return Reason{}, false
	}
	return New(Node, s.Code, s.detail(node, s.Condition, c.Reason), by), true
}

// detail fills the gap of the sentence: the failure's type and what its emitter adds, or, where the sentence already says
// what happened, the node it happened to.
func (s Signal) detail(node *corev1.Node, what, more string) string {
	if s.Code == CloudInstanceGone {
		return node.Name
	}
	if s.Condition != "" && s.Condition == string(corev1.NodeReady) {
		what = "Ready=" + string(s.Status)
	}
	return joined(what, more)
}
