package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/story/lookup"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// archiver is the service account of the archive.
const archiver = "epitaph-archive"

// archive starts `epitaph archive` with a file for its store, and a retention that leaves one record
// in each namespace. It returns when the record of the pod has left the cluster.
func (st *stage) archive(ctx context.Context, dir, pod string) error {
	s, ours := st.sandbox, st.sandbox.Epitaph.Config.Namespace
	c := config.Default()
	c.Namespace, c.Metrics.Secure, c.LeaderElection.Enabled = ours, false, false
	k := &c.Archive
	k.Enabled, k.Store, k.Cluster, k.Serve = true, config.SQLite, "demo", true
	k.Path, k.CertDir = filepath.Join(dir, "archive.db"), dir
	c.Retention.Pods.MaxPerNamespace = 1
	for _, address := range []*string{&k.Address, &k.HealthAddress, &k.MetricsAddress} {
		free, err := sandbox.FreeAddress()
		if err != nil {
			return err
		}
		*address = free
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		return fmt.Errorf("make a certificate for the archive: %w", err)
	}
	settings, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write the configuration of the archive: %w", err)
	}
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key,
		"archive.yaml": settings} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("write a file of the archive: %w", err)
		}
	}
	kubeconfig := filepath.Join(dir, "archive.kubeconfig")
	if err := st.letArchive(ctx, ours, kubeconfig); err != nil {
		return err
	}
	if err := st.publish(ctx, "https://"+k.Address, string(certificate)); err != nil {
		return err
	}
	if _, err := s.Launch("epitaph-archive", s.EpitaphProgram(), "archive", "--config",
		filepath.Join(dir, "archive.yaml"), "--kubeconfig", kubeconfig); err != nil {
		return err
	}
	finder, err := st.finder()
	if err != nil {
		return err
	}
	return st.until(ctx, "the record of "+pod+" has left the cluster",
		func(ctx context.Context) (bool, error) {
			found, _, err := finder.Pods(ctx, lookup.Filter{Namespace: namespace, Pod: pod})
			return len(found) == 0, err
		})
}

// letArchive gives the archive its credentials, and the right to know those of the cluster's users.
func (st *stage) letArchive(ctx context.Context, ours, kubeconfig string) error {
	token, err := st.client.CoreV1().ServiceAccounts(ours).CreateToken(ctx, archiver,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make a token for the archive: %w", err)
	}
	if err := st.sandbox.WriteKubeconfig(kubeconfig, token.Status.Token); err != nil {
		return err
	}
	_, err = st.client.RbacV1().RoleBindings(metav1.NamespaceSystem).Create(ctx,
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: archiver},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role",
				Name: "extension-apiserver-authentication-reader"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ours,
				Name: archiver}},
		}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("let the archive know users: %w", err)
	}
	return nil
}

// publish says where the archive is, as the chart does.
func (st *stage) publish(ctx context.Context, url, authority string) error {
	_, err := st.client.CoreV1().ConfigMaps(metav1.NamespacePublic).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: ask.ObjectName},
		Data:       map[string]string{"url": url, "ca.crt": authority},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("say where the archive is: %w", err)
	}
	return nil
}
