package main

import (
	"errors"
	"net"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// explain says what went wrong and what helps. Messages of the API server may quote what others
// wrote.
func explain(err error) string {
	return terminal.CleanLines(err.Error()) + remedy(err)
}

func remedy(err error) string {
	var network *net.OpError
	switch {
	case meta.IsNoMatchError(err):
		return "\nEpitaph's custom resources are not installed in this cluster, or not in this version: kubectl epitaph doctor"
	case apierrors.IsForbidden(err):
		return "\nAsk for the right: the ClusterRole view covers the records of a namespace."
	case apierrors.IsUnauthorized(err):
		return "\nThe API server does not know you: log in again, or name another context with --context."
	case errors.As(err, &network):
		return "\nThe API server cannot be reached: check --kubeconfig and --context."
	default:
		return ""
	}
}
