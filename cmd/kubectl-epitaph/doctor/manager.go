package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// leaseName is the leader's Lease.
const leaseName = "epitaph"

// leader looks whether a manager leads: only the leader collects garbage and records.
func leader(ctx context.Context, p *patient) []Diagnosis {
	const what = "leader"
	lease := &coordinationv1.Lease{}
	err := p.Get(ctx, client.ObjectKey{Namespace: p.system, Name: leaseName}, lease)
	switch {
	case apierrors.IsNotFound(err):
		return []Diagnosis{{Dubious, what, "there is no Lease " + p.system + "/" + leaseName +
			": no manager runs there, or with leader election off"}}
	case err != nil:
		return []Diagnosis{{Unseen, what, err.Error()}}
	}
	return []Diagnosis{leads(lease, p.serverTime())}
}

func leads(lease *coordinationv1.Lease, now time.Time) Diagnosis {
	const what = "leader"
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if holder == "" || lease.Spec.RenewTime == nil {
		return Diagnosis{Broken, what,
			"nobody leads: no garbage is collected, nothing is recorded. Look at the manager's pods and their log"}
	}
	age := now.Sub(lease.Spec.RenewTime.Time)
	if limit := time.Duration(ptr.Deref(lease.Spec.LeaseDurationSeconds,
		15)) * time.Second; age > limit+maxSkew {
		return Diagnosis{Broken, what, fmt.Sprintf(
			"%s was the last, and has not been heard of for %s. Look at the manager's pods and their log", holder, age.Round(time.Second))}
	}
	return Diagnosis{Well, what, holder}
}

// podGC is the controller that Epitaph replaces.
const podGC = "pod-garbage-collector-controller"

// builtInPodGC looks for kube-controller-manager's command line. Only control planes that run as
// pods show it (kubeadm's label).
func builtInPodGC(ctx context.Context, p *patient) []Diagnosis {
	const what = "built-in pod GC"
	pods := &corev1.PodList{}
	err := p.List(ctx, pods, client.InNamespace("kube-system"),
		client.MatchingLabels{"component": "kube-controller-manager"})
	switch {
	case err != nil:
		return []Diagnosis{{Unseen, what, err.Error()}}
	case len(pods.Items) == 0:
		return []Diagnosis{
			{Unseen, what,
				"no pod shows kube-controller-manager's flags. Where it is on, Epitaph works beside it, but orphans may go before their node's reason is known"}}
	}
	for _, pod := range pods.Items {
		if !switchedOff(pod.Spec.Containers) {
			return []Diagnosis{{Dubious, what, "is on (pod " + pod.Name +
				"): orphans may go before their node's reason is known. Switch it off: --controllers=*,-" + podGC}}
		}
	}
	return []Diagnosis{{Well, what, "is off"}}
}

// switchedOff reads kube-controller-manager's --controllers.
func switchedOff(containers []corev1.Container) bool {
	for _, c := range containers {
		for _, arg := range slices.Concat(c.Command, c.Args) {
			if list, ok := strings.CutPrefix(arg, "--controllers="); ok {
				return !enabled(strings.Split(list, ","))
			}
		}
	}
	return false
}

// enabled tells whether the list leaves the built-in one on: the first entry that names it decides,
// else "*" does (kubernetes staging/src/k8s.io/controller-manager/app/helper.go). It has an alias.
func enabled(controllers []string) bool {
	for _, c := range controllers {
		switch c {
		case podGC, "podgc":
			return true
		case "-" + podGC, "-podgc":
			return false
		}
	}
	return slices.Contains(controllers, "*")
}
