package main

import (
	"errors"
	"net"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// explain says what went wrong and what helps. Messages of the API server may quote what others
// wrote.
func explain(err error) string {
	return terminal.CleanLines(err.Error()) + remedy(err)
}

func remedy(err error) string {
	var network *net.OpError
	lacks, is := lacking(err)
	switch {
	case isUndefined(err):
		return "\nEpitaph's custom resources are not installed in this cluster, or not in this version: kubectl epitaph doctor"
	case is:
		return lacks.remedy()
	case apierrors.IsUnauthorized(err):
		return "\nThe API server does not know you: log in again, or name another context with --context."
	case errors.As(err, &network):
		return "\nThe API server cannot be reached: check --kubeconfig and --context."
	default:
		return ""
	}
}

// isUndefined tells whether the API server lacks Epitaph's custom resources. While it takes notice
// of that, it may say so of their version instead of their kind.
func isUndefined(err error) bool {
	if kind, ok := errors.AsType[*meta.NoKindMatchError](err); ok {
		return kind.GroupKind.Group == v1alpha1.GroupVersion.Group
	}
	resource, ok := errors.AsType[*meta.NoResourceMatchError](err)
	return ok && resource.PartialResource.Group == v1alpha1.GroupVersion.Group
}
