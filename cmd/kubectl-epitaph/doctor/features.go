package doctor

import (
	"cmp"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// A feature is an API that Epitaph makes use of where the API server has it, and that not every
// release of Kubernetes has which the chart may be installed in.
type feature struct {
	kind runtimeschema.GroupVersionKind
	// since is the first release that has it, by default.
	since string
	// without is what cannot be told where it is missing.
	without string
}

var madeUseOf = []feature{{
	// KEP-4381
	kind:  resourcev1.SchemeGroupVersion.WithKind("ResourceClaim"),
	since: "1.34",
	without: "the record of a pod that is driven off its device does not say which one, " +
		"nor who tainted it",
}}

// features tells which of them the API server of that release lacks.
func features(of meta.RESTMapper, release string) Diagnosis {
	release = cmp.Or(terminal.Clean(release), "of a release that it does not tell")
	var lacks []string
	for _, f := range madeUseOf {
		_, err := of.RESTMapping(f.kind.GroupKind(), f.kind.Version)
		switch {
		case meta.IsNoMatchError(err):
			lacks = append(lacks, "it has no "+f.kind.Kind+" of "+
				f.kind.GroupVersion().String()+" (Kubernetes "+f.since+"): "+f.without)
		case err != nil:
			return Diagnosis{Unseen, "Kubernetes", release + ": " + err.Error()}
		}
	}
	if lacks == nil {
		return Diagnosis{Well, "Kubernetes", release + " has all that Epitaph makes use of"}
	}
	return Diagnosis{Well, "Kubernetes", release + ": " + strings.Join(lacks, "; ")}
}
