package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
)

// missing returns an error if the namespace in which nothing was found does not exist. If the
// caller may not read it, that is no error: an empty answer is valid, too.
func missing(ctx context.Context, c *cluster.Cluster, namespace string) error {
	if namespace == "" || !apierrors.IsNotFound(c.Get(ctx, client.ObjectKey{Name: namespace},
		&corev1.Namespace{})) {
		return nil
	}
	err := fmt.Errorf("%w: there is no namespace %s", errNotFound, namespace)
	if near := nearest(namespace, names(ctx, c, namespaces, "")); near != "" {
		err = fmt.Errorf("%w: did you mean %s?", err, near)
	}
	return err
}
