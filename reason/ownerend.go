package reason

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// An OwnerDeed is what somebody did to what a pod belongs to.
type OwnerDeed string

const (
	// Deletes is the zero value.
	Deletes OwnerDeed = ""
	// Scales says that it was told to have fewer pods.
	Scales OwnerDeed = "Scaled"
	// Suspends says that it was told to have none for the time being.
	Suspends OwnerDeed = "Suspended"
)

// An OwnerEnd is who asked for the deletion of what a pod belongs to, or had it have fewer pods,
// and why. The controllers that delete the pod only carry that out.
type OwnerEnd struct {
	// Did is what was done, To how many pods were left (Scales).
	Did OwnerDeed
	To  int32
	// Deleted is what that was done to, as in "Job etl".
	Deleted string
	// By is the user who did.
	By string
	// Application is what deployed it, according to its own labels and annotations.
	Application string
	// Says is why, if they said so.
	Says string
}

var ownerDeeds = map[OwnerDeed]string{Deletes: "deleted", Scales: "scaled", Suspends: "suspended"}

// String returns a sentence such as "carol deleted Job etl: superseded".
func (e OwnerEnd) String() string {
	s := e.By + " " + ownerDeeds[e.Did] + " " + e.Deleted
	if e.Application != "" {
		s += " of " + e.Application
	}
	if e.Did == Scales {
		s += " to " + strconv.Itoa(int(e.To))
	}
	return joined(s, e.Says)
}

// NamesNobody reports whether r says that what the pod belongs to was deleted, and not by whom.
func NamesNobody(r Reason, pod *corev1.Pod) bool {
	detail := pod.Namespace
	switch r.Code {
	case OwnerDeleted:
		detail = inference{Facts: Facts{Pod: pod}}.owner()
	case NamespaceDeleted:
	default:
		return false
	}
	return r.Text == New(Pod, r.Code, detail, r.By).Text
}

// Named is the reason of which [NamesNobody] holds, with who did it.
func (e OwnerEnd) Named(r Reason) Reason { return New(Pod, r.Code, e.String(), e.By) }

// An applicationMark is what a deployment tool leaves on what it manages.
type applicationMark struct {
	key   string
	label bool
	what  string
	// until is where the name ends; what follows is cut off.
	until string
	// namespace is the key of the label that holds the namespace of what is named.
	namespace string
	// by is how the service account of the tool ends, where others leave the same mark.
	by string
}

// The first mark that is there counts: Argo CD (argoproj/argo-cd common/common.go; up to v2 it
// tracks by a label that others set as well, unless it is told not to), Flux
// (fluxcd/helm-controller, fluxcd/kustomize-controller docs/spec), Helm (helm.sh/helm/v4
// pkg/action/validate.go).
var applications = []applicationMark{
	{key: "argocd.argoproj.io/tracking-id", what: "Argo CD application ", until: ":"},
	{key: "argocd.argoproj.io/instance", label: true, what: "Argo CD application "},
	{key: "app.kubernetes.io/instance", label: true, what: "Argo CD application ",
		by: "argocd-application-controller"},
	{key: "helm.toolkit.fluxcd.io/name", label: true, what: "Flux HelmRelease ",
		namespace: "helm.toolkit.fluxcd.io/namespace"},
	{key: "kustomize.toolkit.fluxcd.io/name", label: true, what: "Flux Kustomization ",
		namespace: "kustomize.toolkit.fluxcd.io/namespace"},
	{key: "meta.helm.sh/release-name", what: "Helm release "},
}

// ApplicationOf returns what deployed an object, according to its labels and annotations, when that
// user deletes or scales it.
func ApplicationOf(labels, annotations map[string]string, by string) string {
	for _, a := range applications {
		marks := annotations
		if a.label {
			marks = labels
		}
		name := marks[a.key]
		if a.until != "" {
			name, _, _ = strings.Cut(name, a.until)
		}
		if name == "" || !strings.HasSuffix(by, a.by) {
			continue
		}
		if namespace := labels[a.namespace]; namespace != "" {
			name = namespace + "/" + name
		}
		if name = clean(name, maxApplicationBytes); name != "" {
			return a.what + name
		}
	}
	return ""
}

// maxApplicationBytes is enough for two names.
const maxApplicationBytes = 317
