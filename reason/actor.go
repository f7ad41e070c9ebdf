package reason

// An Actor is the kind of user that a user name stands for. It is a hint about the cause, never a
// permission.
type Actor uint8

// The actors that Kubernetes itself has. If kube-controller-manager runs without
// --use-service-account-credentials, all of its controllers are ControllerManager, and only what
// they left on the object distinguishes them.
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
	// Remediator fences nodes that do not answer, and removes their pods.
	Remediator
	// MachineController drains machines and removes their Nodes.
	MachineController
	// CloudProvider is the cloud's own user, which upgrades and repairs nodes.
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
