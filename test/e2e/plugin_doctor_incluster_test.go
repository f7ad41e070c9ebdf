package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// examiner are the rights with which the doctor sees all that can be seen, by namespace; "" is the
// cluster (docs/plugin.md).
func examiner(own string) map[string][]rbacv1.PolicyRule {
	return map[string][]rbacv1.PolicyRule{
		own: {may("epitaph-k8s.io", "list", "podobituaries"),
			may("", "create", "pods", "pods/eviction")},
		ourNamespace: {
			may("coordination.k8s.io", "get", "leases"), may("", "get", "configmaps"),
			may("apps", "list", "daemonsets"),
		},
		"kube-system":     {may("", "list", "pods")},
		"kube-node-lease": {may("coordination.k8s.io", "list", "leases")},
		"": {
			may("", "list", "nodes"),
			may("epitaph-k8s.io", "list", "nodeobituaries", "ownerobituaries"),
			may("authorization.k8s.io", "create", "subjectaccessreviews"),
			may("admissionregistration.k8s.io", "get", "mutatingwebhookconfigurations"),
		},
	}
}

func may(group, verb string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Verbs: []string{verb},
		Resources: resources}
}

// In a pod there is no kubeconfig: the doctor is who the pod's service account is, and asks in the
// pod's namespace.
func TestPluginDoctorInACluster(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	token, user := shared.account(t, namespace, "examiner")
	if got := shared.inCluster(t, namespace, token, "doctor"); got.code != 0 ||
		!strings.Contains(got.out, `User "`+user+`" cannot`) {
		t.Errorf("without rights, it said %+v", got)
	}
	for where, rules := range examiner(namespace) {
		shared.grantIn(t, where, user, rules...)
		shared.hasRight(t, user, where, rules[0].APIGroups[0], rules[0].Resources[0],
			rules[0].Verbs[0])
	}
	got := shared.inCluster(t, namespace, token, "doctor")
	for _, what := range healthy {
		if got.code != 0 || !strings.Contains(got.out, "ok      "+what) {
			t.Errorf("%s is not well: %+v", what, got)
		}
	}
	if strings.Count(got.out, "unseen") != 1 ||
		!strings.Contains(got.out, "unseen  built-in pod GC") {
		t.Errorf(
			"with all rights it says that it cannot see more than kube-controller-manager's flags:\n%s", got.out)
	}
}

// inCluster runs the plugin as a pod would: the API server's address is in its environment, and its
// service account mounted.
func (c *cluster) inCluster(t *testing.T, namespace, token string, args ...string) said {
	t.Helper()
	path, err := builtPlugin()
	if err != nil {
		t.Fatal(err)
	}
	account := t.TempDir()
	for name, content := range map[string][]byte{"token": []byte(token),
		"ca.crt": c.RESTConfig().CAData, "namespace": []byte(namespace)} {
		if err := os.WriteFile(filepath.Join(account, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const mounted = `mount -t tmpfs none /run && mkdir -p /var/run/secrets/kubernetes.io/serviceaccount &&
cp "$1"/* /var/run/secrets/kubernetes.io/serviceaccount/ && shift && exec "$@"`
	cmd := exec.CommandContext(t.Context(), "unshare",
		append([]string{"--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh", account,
			path}, args...)...)
	host, port, _ := strings.Cut(strings.TrimPrefix(c.RESTConfig().Host, "https://"), ":")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + account,
		"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) ||
		strings.Contains(errOut.String(), "unshare:") {
		t.Skipf("SKIPPED: a mount namespace is missing, run it as root: unshare says %v %s", err,
			errOut.String())
	}
	return said{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// grantIn gives a user rights in a namespace, or, where it is empty, in the cluster.
func (c *cluster) grantIn(t *testing.T, namespace, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: user, Namespace: namespace}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	api := c.client.RbacV1()
	var made, bound error
	if namespace == "" {
		_, made = api.ClusterRoles().Create(t.Context(),
			&rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}
		_, bound = api.ClusterRoleBindings().Create(t.Context(),
			&rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects},
			metav1.CreateOptions{})
	} else {
		_, made = api.Roles(namespace).Create(t.Context(),
			&rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user}
		_, bound = api.RoleBindings(namespace).Create(t.Context(),
			&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects},
			metav1.CreateOptions{})
	}
	if err := errors.Join(made, bound); err != nil {
		t.Fatalf("give %s rights in %q: %v", user, namespace, err)
	}
}
