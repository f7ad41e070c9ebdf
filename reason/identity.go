package reason

import (
	"fmt"
	"slices"
)

// An Identity says who is behind a user name. Identities are data: [DefaultIdentities] come with
// the program, and the configuration's own precede them. Inference uses them. For a user that is no
// service account they also say whether policy takes them for a person.
type Identity struct {
	// User is a pattern for the user name.
	User Pattern `json:"user" validate:"required"`
	// Groups, if there are any, are patterns; one of the user's groups must match one of them.
	Groups []Pattern `json:"groups,omitempty"`
	// Actor is what the user is.
	Actor Actor `json:"actor" validate:"required"`
	// Source is the project (and version) that runs under that name.
	Source string `json:"source,omitempty"`
}

var (
	kubernetesIdentities = load[Identity]("kubernetes-users.yaml")
	defaultIdentities    = load[Identity]("users.yaml")
)

// DefaultIdentities are the names under which well-known components that evict pods or remove nodes
// are installed, and the clouds' own users.
func DefaultIdentities() []Identity { return slices.Clone(defaultIdentities()) }

// KubernetesIdentities are the names of Kubernetes' own components. The last of them matches every
// user.
func KubernetesIdentities() []Identity { return slices.Clone(kubernetesIdentities()) }

func (i Identity) matches(user string, groups []string) bool {
	return i.User.Matches(user) && (len(i.Groups) == 0 ||
		slices.ContainsFunc(groups, func(g string) bool { return anyMatches(i.Groups, g) }))
}

// ActorOf classifies a user by name and groups.
func (i Inferrer) ActorOf(user string, groups []string) Actor {
	for _, id := range i.Identities {
		if id.matches(user, groups) {
			return id.Actor
		}
	}
	return ActorOf(user, groups)
}

// actor returns what the remover is, unless nobody saw them.
func (i Inferrer) actor(r Remover) Actor {
	for _, id := range i.Identities {
		if id.matches(r.User, r.Groups) {
			return id.Actor
		}
	}
	return r.Actor
}

// actorNames are the names of the actors in the configuration.
var actorNames = map[Actor]string{
	Person: "Person", ServiceAccount: "ServiceAccount", ControlPlane: "ControlPlane",
	Scheduler:         "Scheduler",
	ControllerManager: "ControllerManager", NodeController: "NodeController", PodGC: "PodGC",
	OwnerGC:             "OwnerGC",
	NamespaceController: "NamespaceController", ReplicaSetController: "ReplicaSetController",
	StatefulSetController: "StatefulSetController", DaemonSetController: "DaemonSetController",
	JobController: "JobController",
	TTLController: "TTLController", Kubelet: "Kubelet",
	DeviceTaintController: "DeviceTaintController",
	Autoscaler:            "Autoscaler", Rebalancer: "Rebalancer", Remediator: "Remediator",
	MachineController: "MachineController",
	CloudProvider:     "CloudProvider",
}

// String returns the actor's name in the configuration.
func (a Actor) String() string {
	if name, ok := actorNames[a]; ok {
		return name
	}
	return "invalid"
}

// MarshalText returns the actor's name in the configuration.
func (a Actor) MarshalText() ([]byte, error) {
	if name, ok := actorNames[a]; ok {
		return []byte(name), nil
	}
	return nil, fmt.Errorf("encode actor %d: it has no name", a)
}

// UnmarshalText reads an actor's name from the configuration.
func (a *Actor) UnmarshalText(text []byte) error {
	for actor, name := range actorNames {
		if name == string(text) {
			*a = actor
			return nil
		}
	}
	return fmt.Errorf("no actor is called %q: write one like %s, %s or %s",
		clean(string(text), MaxByBytes), Autoscaler, Rebalancer, ServiceAccount)
}
