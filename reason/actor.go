package reason

import (
	"slices"
	"strings"
)

// An Actor is what a user name tells about who deletes. It is a hint about the cause, never a permission.
type Actor uint8

// The actors that Kubernetes itself has. Where kube-controller-manager runs without --use-service-account-credentials all of
// its controllers are ControllerManager, and what they left on the object must tell them apart.
const (
	_ Actor = iota
	Person
	ServiceAccount
	ControlPlane
	Scheduler
	ControllerManager
	NodeController
	PodGC
	OwnerGC
	NamespaceController
	ReplicaSetController
	StatefulSetController
	DaemonSetController
	JobController
	TTLController
	Kubelet
	// DeviceTaintController evicts pods whose device is tainted.
	DeviceTaintController
	// Autoscaler removes nodes that are not needed, and what is on them.
	Autoscaler
	// Rebalancer evicts pods for their own sake, not for their node's: descheduler, vertical pod autoscaler.
	Rebalancer
)

const (
	serviceAccountPrefix = "system:serviceaccount:"
	kubeSystemPrefix     = serviceAccountPrefix + "kube-system:"
)

// Names of k8s.io/kubernetes v1.37 cmd/kube-controller-manager/names and pkg/controller's client names.
var actors = map[string]Actor{
	// The administrators of k3s and OpenShift, and whoever the API server could not name, are people.
	"system:admin":     Person,
	"system:anonymous": Person,

	"system:kube-scheduler":                            Scheduler,
	"system:kube-controller-manager":                   ControllerManager,
	"system:cloud-controller-manager":                  NodeController,
	kubeSystemPrefix + "cloud-controller-manager":      NodeController,
	kubeSystemPrefix + "node-controller":               NodeController,
	kubeSystemPrefix + "taint-eviction-controller":     NodeController,
	kubeSystemPrefix + "pod-garbage-collector":         PodGC,
	kubeSystemPrefix + "generic-garbage-collector":     OwnerGC,
	kubeSystemPrefix + "namespace-controller":          NamespaceController,
	kubeSystemPrefix + "replicaset-controller":         ReplicaSetController,
	kubeSystemPrefix + "replication-controller":        ReplicaSetController,
	kubeSystemPrefix + "statefulset-controller":        StatefulSetController,
	kubeSystemPrefix + "daemon-set-controller":         DaemonSetController,
	kubeSystemPrefix + "job-controller":                JobController,
	kubeSystemPrefix + "cronjob-controller":            JobController,
	kubeSystemPrefix + "ttl-after-finished-controller": TTLController,

	kubeSystemPrefix + "device-taint-eviction-controller": DeviceTaintController,
}

// ActorOf classifies a user by name and groups.
func ActorOf(user string, groups []string) Actor {
	if a, ok := actors[user]; ok {
		return a
	}
	switch {
	case strings.HasPrefix(user, "system:node:") && slices.Contains(groups, "system:nodes"):
		return Kubelet
	case strings.HasPrefix(user, serviceAccountPrefix):
		return ServiceAccount
	case strings.HasPrefix(user, "system:"):
		return ControlPlane
	default:
		return Person
	}
}
