package sandbox

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serviceAccount makes a service account in kube-system that has a ClusterRole, unless it is there,
// and returns a kubeconfig for it.
func (s *Sandbox) serviceAccount(ctx context.Context, name,
	role string) (kubeconfig string, err error) {
	meta := metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem}
	accounts := s.client.CoreV1().ServiceAccounts(meta.Namespace)
	_, err = accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("create the service account %s: %w", name, err)
	}
	_, err = s.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name,
			Namespace: meta.Namespace}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("give the service account %s its rights: %w", name, err)
	}
	token, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{},
		metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a token for the service account %s: %w", name, err)
	}
	kubeconfig = s.path("kubeconfigs", name)
	return kubeconfig, s.WriteKubeconfig(kubeconfig, token.Status.Token)
}
