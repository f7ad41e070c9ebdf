package reason

// An Actor is what a user name tells about who deletes. It is a hint about the cause, never a
// permission.
type Actor uint8

// The actors that Kubernetes itself has. Where kube-controller-manager runs without
// --use-service-account-credentials all of its controllers are ControllerManager, and what they
// left on the object must tell them apart.
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
	// Rebalancer evicts pods for their own sake, not for their node's: descheduler, vertical pod
	// autoscaler.
	Rebalancer
	// Remediator fences nodes that do not answer, and takes their pods off.
	Remediator
	// MachineController drains machines and takes their Nodes away.
	MachineController
	// CloudProvider is a user of the cloud's own, who upgrades and repairs nodes.
	CloudProvider
)

// ActorOf classifies a user by name and groups.
func ActorOf(user string, groups []string) Actor {
	for _, id := range kubernetesIdentities() {
		if id.matches(user, groups) {
			return id.Actor
		}
	}
	return Person
}
