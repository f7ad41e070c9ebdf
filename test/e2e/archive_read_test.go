package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Once a record has left the cluster, the plugin still tells of it, to those who might have read it
// there: by a client certificate and by a token, and to nobody else.
func TestArchiveAnswers(t *testing.T) {
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	a, file, address, certificate := c.archiverThatAnswers(t)
	a.start(t)
	batch, web := c.namespace(t), c.namespace(t)
	for _, user := range []string{"reader", "stranger"} {
		if _, err := c.client.CoreV1().ServiceAccounts(batch).Create(t.Context(), &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Name: user}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.binds(t, batch, "ClusterRole", "view", batch, "reader")
	if _, err := c.client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "reads-records"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"epitaph-k8s.io"}, Resources: []string{"podobituaries"}, Verbs: []string{"get", "list"}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.binds(t, batch, "ClusterRole", "reads-records", batch, "reader")

	mine, theirs := obituary(batch, "train-7"), obituary(web, "shop-1")
	ofJob := obituary(web, "nightly-1-x", func(s *v1alpha1.PodObituarySpec) {
		s.Owners = []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: "nightly-1"},
			{APIVersion: "batch/v1", Kind: "CronJob", Name: "nightly"}}
	})
	c.record(t, mine, theirs, ofJob)
	store, err := sqlite.Open(t.Context(), file, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	c.eventually(t, "all are archived", func(ctx context.Context) (bool, error) {
		page, err := store.List(ctx, archive.Query{Cluster: a.name, Kind: archive.PodKind})
		return len(page.Records) == 3, err
	})
	// One expires, the other goes with its namespace.
	if err := c.records(t).Delete(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	if err := c.client.CoreV1().Namespaces().Delete(t.Context(), web, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := c.client.CoreV1().Namespaces().Get(ctx, web, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	for _, what := range []string{"pod/train-7", "job/nightly-1"} {
		if got := c.plugin(t, "why", what, "-n", batch); got.code != 3 {
			t.Errorf("without knowing an archive, why says of %s:\n%s%s", what, got.out, got.err)
		}
	}

	c.publish(t, address, certificate)
	c.eventually(t, "the archive answers the administrator's certificate", func(context.Context) (bool, error) {
		got := c.plugin(t, "why", "pod/train-7", "-n", batch)
		return got.code == 0 && got.err == "" && strings.Contains(got.out,
			"This pod died unexpectedly because the underlying node kernel panicked!"), nil
	})
	if got := c.plugin(t, "why", "pod/shop-1", "-n", web); got.code != 0 || !strings.Contains(got.out, "KernelPanic") {
		t.Errorf("of a namespace that is gone, why says:\n%s%s", got.out, got.err)
	}
	for _, what := range []string{"job/nightly-1", "cronjob/nightly", "cronjob.batch/nightly"} {
		if got := c.plugin(t, "why", what, "-n", web); got.code != 0 || got.err != "" ||
			!strings.Contains(got.out, "nightly-1-x") || !strings.Contains(got.out, "KernelPanic") {
			t.Errorf("of %s, which is gone with its namespace, why says:\n%s%s", what, got.out, got.err)
		}
	}
	if got := c.plugin(t, "why", "job/another", "-n", web); got.code != 3 {
		t.Errorf("of a job that never was, why says:\n%s%s", got.out, got.err)
	}
	for _, args := range [][]string{{"list", "-A", "--since", "500w"}, {"list", "-A", "--cluster-name", "*"},
		{"list", "-A", "--cluster-name", a.name}} {
		if got := c.plugin(t, args...); got.code != 0 || !strings.Contains(got.out, "train-7") ||
			!strings.Contains(got.out, "shop-1") {
			t.Errorf("%v:\n%s%s", args, got.out, got.err)
		}
	}
	if got := c.plugin(t, "list", "-A", "--cluster-name", "another"); got.code != 0 || strings.Contains(got.out, "train-7") {
		t.Errorf("of another cluster:\n%s%s", got.out, got.err)
	}

	// What only a history can tell.
	for _, tc := range []struct {
		args       []string
		want, lack string
	}{
		{[]string{"history", "-A"}, "KernelPanic", ""},
		{[]string{"history", "-n", batch, "--by", "namespace"}, batch, web},
		{[]string{"history", "-A", "--by", "node", "--at-least", "3"}, "gone-1", ""},
		{[]string{"history", "-A", "--by", "node", "--at-least", "4"}, "", "gone-1"},
		{[]string{"history", "-A", "--by", "code", "-o", "jsonpath={[0].code}={[0].count}"}, "KernelPanic=3", ""},
		{[]string{"history", "-A", "--code", "Evicted"}, "", "KernelPanic"},
		{[]string{"history", "nodes"}, "", "gone-1"},
		{[]string{"history", "-A", "--cluster-name", "another"}, "", "KernelPanic"},
	} {
		if got := c.plugin(t, tc.args...); got.code != 0 || !strings.Contains(got.out, tc.want) ||
			tc.lack != "" && strings.Contains(got.out, tc.lack) {
			t.Errorf("%v:\n%s%s", tc.args, got.out, got.err)
		}
	}
	for _, args := range [][]string{{"history", "--by", "colour"}, {"history", "--by", "month,day,code,node"},
		{"history", "nodes", "--pod", "x"}} {
		if got := c.plugin(t, args...); got.code != 2 {
			t.Errorf("%v is no wrong usage:\n%s%s", args, got.out, got.err)
		}
	}

	// By tokens.
	tokens := map[string]string{"nobody": "", "forged": "eyJhbGciOiJub25lIn0.e30."}
	for _, user := range []string{"reader", "stranger"} {
		token, err := c.client.CoreV1().ServiceAccounts(batch).CreateToken(t.Context(), user,
			&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		tokens[user] = token.Status.Token
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
		MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	for _, tc := range []struct {
		who, path string
		want      int
	}{
		{"reader", "/v1/pods?namespace=" + batch, 200}, {"reader", "/v1/pods?namespace=" + web, 403},
		{"reader", "/v1/pods", 403}, {"reader", "/v1/nodes", 403},
		{"reader", "/v1/pods?cluster=*&namespace=" + batch, 403},
		{"reader", "/v1/counts/pods?by=code&namespace=" + batch, 200},
		{"reader", "/v1/pods?namespace=" + batch + "&name=%27%3B%20DROP%20TABLE%20records%3B%20--", 200},
		{"stranger", "/v1/pods?namespace=" + batch, 403}, {"nobody", "/v1/pods?namespace=" + batch, 401},
		{"forged", "/v1/pods?namespace=" + batch, 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token := tokens[tc.who]; token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		got, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode != tc.want {
			t.Errorf("%s gets %d of %s, want %d", tc.who, got.StatusCode, tc.path, tc.want)
		}
	}
}

// archiverThatAnswers makes an archive in a file that answers questions, at an address with a certificate.
func (c *cluster) archiverThatAnswers(t *testing.T) (a *archiver, file, address string, certificate []byte) {
	t.Helper()
	dir := t.TempDir()
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if address, err = sandbox.FreeAddress(); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "archive.db")
	a = c.archiver(t, func(k *config.Archive) {
		k.Store, k.Path, k.Serve, k.Address, k.CertDir = config.SQLite, file, true, address, dir
	})
	c.binds(t, metav1.NamespaceSystem, "Role", "extension-apiserver-authentication-reader", ourNamespace,
		"epitaph-archive")
	return a, file, address, certificate
}

// publish says where the archive is, as the chart does.
func (c *cluster) publish(t *testing.T, address string, certificate []byte) {
	t.Helper()
	if _, err := c.client.CoreV1().ConfigMaps(metav1.NamespacePublic).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "epitaph-archive"},
		Data:       map[string]string{"url": "https://" + address, "ca.crt": string(certificate)},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reads := metav1.ObjectMeta{Namespace: metav1.NamespacePublic, Name: "epitaph-archive"}
	if _, err := c.client.RbacV1().Roles(reads.Namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: reads,
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"},
			ResourceNames: []string{"epitaph-archive"}, Verbs: []string{"get"}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.RbacV1().RoleBindings(reads.Namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: reads,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: reads.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind,
			Name: "system:authenticated"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// binds binds a service account of another namespace to a role.
func (c *cluster) binds(t *testing.T, in, kind, role, of, account string) {
	t.Helper()
	if _, err := c.client.RbacV1().RoleBindings(in).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: unique("binds")},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: of, Name: account}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
