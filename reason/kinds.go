package reason

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A Kind is a kind with its API group, without which it is ambiguous.
type Kind = schema.GroupKind

// The kinds of Kubernetes that own pods, and those that own these.
var (
	JobKind                   = Kind{Group: "batch", Kind: "Job"}
	CronJobKind               = Kind{Group: "batch", Kind: "CronJob"}
	ReplicaSetKind            = Kind{Group: "apps", Kind: "ReplicaSet"}
	DeploymentKind            = Kind{Group: "apps", Kind: "Deployment"}
	StatefulSetKind           = Kind{Group: "apps", Kind: "StatefulSet"}
	DaemonSetKind             = Kind{Group: "apps", Kind: "DaemonSet"}
	ReplicationControllerKind = Kind{Kind: "ReplicationController"}
	NodeKind                  = Kind{Kind: "Node"}
	NamespaceKind             = Kind{Kind: "Namespace"}
)

// ownKinds maps their names to their groups. Others have kinds of the same names: Volcano a Job,
// OpenKruise a StatefulSet and a DaemonSet.
var ownKinds = map[string]string{
	JobKind.Kind: JobKind.Group, CronJobKind.Kind: CronJobKind.Group,
	ReplicaSetKind.Kind: ReplicaSetKind.Group, DeploymentKind.Kind: DeploymentKind.Group,
	StatefulSetKind.Kind: StatefulSetKind.Group, DaemonSetKind.Kind: DaemonSetKind.Group,
	ReplicationControllerKind.Kind: ReplicationControllerKind.Group, NodeKind.Kind: NodeKind.Group,
}

// KindOf names a kind as people do. Another kind with the name of one of Kubernetes' own gets its
// group, as in kubectl: Job.batch.volcano.sh.
func KindOf(apiVersion, kind string) string {
	group := apiGroup(apiVersion)
	if own, ok := ownKinds[kind]; ok && apiVersion != "" && group != own {
		return kind + "." + group
	}
	return kind
}

// IsKind reports whether an apiVersion and kind are of that kind. Without an apiVersion that is not
// known: another kind may have the same name.
func IsKind(apiVersion, kind string, of Kind) bool {
	return apiVersion != "" && KindIn(apiVersion, kind) == of
}

// apiGroup returns the group of an apiVersion. An invalid apiVersion is returned whole: it is no
// group of Kubernetes.
func apiGroup(apiVersion string) string {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return apiVersion
	}
	return gv.Group
}

// KindIn returns the kind of that name in the group of an apiVersion.
func KindIn(apiVersion, kind string) Kind {
	return Kind{Group: apiGroup(apiVersion), Kind: kind}
}
