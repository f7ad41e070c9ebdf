package reason

import (
	"fmt"
	"strings"
)

// An Identity says who is behind a user name. Identities are data: [DefaultIdentities] come with the program, and the
// configuration puts its own before them. They serve inference only; no permission follows from one.
type Identity struct {
	// User is a user name; a trailing * matches any ending.
	User string `json:"user" validate:"required"`
	// Actor is what the user is.
	Actor Actor `json:"actor" validate:"required"`
	// Source is the project (and version) that runs under that name.
	Source string `json:"source,omitempty"`
}

// DefaultIdentities are the names under which well-known components that evict pods or remove nodes are installed.
func DefaultIdentities() []Identity {
	const (
		autoscaler  = "kubernetes/autoscaler cluster-autoscaler/cloudprovider/*/examples, Helm chart cluster-autoscaler"
		karpenter   = "Helm chart karpenter, docs v1 getting started"
		descheduler = "kubernetes-sigs/descheduler kubernetes/base/rbac.yaml, Helm chart descheduler"
		vpa         = "kubernetes/autoscaler vertical-pod-autoscaler/deploy/vpa-rbac.yaml"
	)
	return []Identity{
		{User: kubeSystemPrefix + "cluster-autoscaler*", Actor: Autoscaler, Source: autoscaler},
		{User: kubeSystemPrefix + "karpenter", Actor: Autoscaler, Source: karpenter},
		{User: serviceAccountPrefix + "karpenter:karpenter", Actor: Autoscaler, Source: karpenter},
		{User: kubeSystemPrefix + "descheduler*", Actor: Rebalancer, Source: descheduler},
		{User: kubeSystemPrefix + "vpa-updater", Actor: Rebalancer, Source: vpa},
	}
}

func (i Identity) matches(user string) bool {
	if prefix, ok := strings.CutSuffix(i.User, "*"); ok {
		return strings.HasPrefix(user, prefix)
	}
	return user == i.User
}

// actor returns what the remover is.
func (i Inferrer) actor(r Remover) Actor {
	for _, id := range i.Identities {
		if id.matches(r.User) {
			return id.Actor
		}
	}
	return r.Actor
}

// actorNames are the actors as the configuration writes them.
var actorNames = map[Actor]string{
	Person: "Person", ServiceAccount: "ServiceAccount", ControlPlane: "ControlPlane", Scheduler: "Scheduler",
	ControllerManager: "ControllerManager", NodeController: "NodeController", PodGC: "PodGC", OwnerGC: "OwnerGC",
	NamespaceController: "NamespaceController", ReplicaSetController: "ReplicaSetController",
	StatefulSetController: "StatefulSetController", DaemonSetController: "DaemonSetController", JobController: "JobController",
	TTLController: "TTLController", Kubelet: "Kubelet", DeviceTaintController: "DeviceTaintController",
	Autoscaler: "Autoscaler", Rebalancer: "Rebalancer",
}

// String returns the actor as the configuration writes it.
func (a Actor) String() string {
	if name, ok := actorNames[a]; ok {
		return name
	}
	return "invalid"
}

// MarshalText writes the actor as the configuration does.
func (a Actor) MarshalText() ([]byte, error) {
	if name, ok := actorNames[a]; ok {
		return []byte(name), nil
	}
	return nil, fmt.Errorf("encode actor %d: it has no name", a)
}

// UnmarshalText reads an actor as the configuration writes it.
func (a *Actor) UnmarshalText(text []byte) error {
	for actor, name := range actorNames {
		if name == string(text) {
			*a = actor
			return nil
		}
	}
	return fmt.Errorf("no actor is called %q: write one like %s, %s or %s", clean(string(text), MaxByBytes), Autoscaler, Rebalancer, ServiceAccount)
}
