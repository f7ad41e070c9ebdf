package reason

import (
	"fmt"
	"slices"
)

// An Identity says who is behind a user name. Identities are data: [DefaultIdentities] come with
// the program, and the configuration puts its own before them. They serve inference; of a user that
// is no service account they also say whether policy takes them for a person.
type Identity struct {
	// User is what the user name must be like.
	User Pattern `json:"user" validate:"required"`
	// Groups, where there are any, are those of which the user must be in one.
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

// actor returns what the remover is, unless nobody saw it.
func (i Inferrer) actor(r Remover) Actor {
	for _, id := range i.Identities {
		if id.matches(r.User, r.Groups) {
			return id.Actor
		}
	}
	return r.Actor
}

// actorNames are the actors as the configuration writes them.
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
	return fmt.Errorf("no actor is called %q: write one like %s, %s or %s",
		clean(string(text), MaxByBytes), Autoscaler, Rebalancer, ServiceAccount)
}
