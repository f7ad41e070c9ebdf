package sandbox

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// serviceAccount is [Sandbox.ServiceAccount] in kube-system.
func (s *Sandbox) serviceAccount(ctx context.Context, name,
	role string) (kubeconfig string, err error) {
	return s.ServiceAccount(ctx, metav1.NamespaceSystem, name, role)
}

// ServiceAccount makes a service account that has a ClusterRole, unless it is there, and returns a
// kubeconfig for it. The namespace must exist.
func (s *Sandbox) ServiceAccount(ctx context.Context, namespace, name,
	role string) (kubeconfig string, err error) {
	meta := metav1.ObjectMeta{Name: name, Namespace: namespace}
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
	token, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenSeconds))},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a token for the service account %s: %w", name, err)
	}
	kubeconfig = s.path("kubeconfigs", name)
	return kubeconfig, s.WriteKubeconfig(kubeconfig, token.Status.Token)
}
