package toll

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
)

// BeforeNode is how long before its node a pod may have left because of it: pods go first, and what
// is recorded of the node is renewed until it is gone.
const BeforeNode = time.Hour

// A Toll is what was lost with pods: at most all that they had done since they began.
type Toll struct {
	Pods     int     `json:"pods"`
	PodHours float64 `json:"podHours"`
	GPUHours float64 `json:"gpuHours"`
	// Unknown is how many of the pods are not in the hours, because their record does not say.
	Unknown int `json:"podsOfUnknownHours"`
}

func (t *Toll) add(p Pod) {
	t.Pods++
	if !p.Known {
		t.Unknown++
		return
	}
	t.PodHours += p.Held.Hours()
	t.GPUHours += p.Held.Hours() * float64(p.GPUs)
}

// A Pod is what is counted of one.
type Pod struct {
	Namespace, Name string
	// OwnerKind and OwnerName are those of its topmost owner, empty for a pod of its own.
	OwnerKind, OwnerName string
	// Held is how long it held what it requests, if that is Known, and GPUs how many of these it
	// requested.
	Held  time.Duration
	Known bool
	GPUs  int64
}

// PodOf reads the record of a pod.
func PodOf(o *v1alpha1.PodObituary) Pod {
	p := Pod{Namespace: o.Namespace, Name: o.Spec.PodName, GPUs: obituary.GPUs(&o.Spec)}
	p.Held, p.Known = obituary.Held(&o.Spec)
	if n := len(o.Spec.Owners); n > 0 {
		p.OwnerKind, p.OwnerName = o.Spec.Owners[n-1].Kind, o.Spec.Owners[n-1].Name
	}
	return p
}

// An Owner is what one Job, or another topmost owner, has lost. A pod of its own has no kind.
type Owner struct {
	Namespace string `json:"namespace"`
	Kind      string `json:"kind,omitempty"`
	Name      string `json:"name"`
	Toll
}

// Text names the owner as lists do.
func (o Owner) Text() string { return cmp.Or(o.Kind, "Pod") + "/" + o.Name }

// All are what pods have lost together, and each of their owners.
type All struct {
	Toll
	Owners []Owner `json:"owners"`
}

// Of sums up what pods have lost: who lost the most is the first.
func Of(pods []Pod) All {
	all := All{Owners: []Owner{}}
	type key struct{ namespace, kind, name string }
	known := map[key]int{}
	for _, p := range pods {
		all.add(p)
		of := key{p.Namespace, p.OwnerKind, cmp.Or(p.OwnerName, p.Name)}
		at, ok := known[of]
		if !ok {
			at = len(all.Owners)
			known[of] = at
			all.Owners = append(all.Owners, Owner{Namespace: of.namespace, Kind: of.kind,
				Name: of.name})
		}
		all.Owners[at].add(p)
	}
	slices.SortStableFunc(all.Owners, func(a, b Owner) int {
		return cmp.Or(cmp.Compare(b.GPUHours, a.GPUHours), cmp.Compare(b.PodHours, a.PodHours),
			strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	return all
}
