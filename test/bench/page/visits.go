package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/test/bench"
)

// A page is one that is asked for, and what its answer has to say, as a regular expression.
type page struct{ name, about, path, says string }

func pagesOf(records, nodes int) []page {
	half := records / 2
	far := newestAt.Add(-time.Duration(half) * time.Second).Format(time.RFC3339)
	return []page{
		{"newest", "the newest, with the chart", "/", of(records)},
		{"search_one", "a search that finds one", "/?q=" + podOf(half), "/" + podOf(half) + "<"},
		{"search_all", "a search that finds all", "/?q=TRAIN-", of(records)},
		{"search_none", "a search that finds none", "/?q=nothing-has-this-name",
			"No records of pods match"},
		{"namespace", "one namespace", "/?namespace=" + namespaceOf(0), of(records / namespaces)},
		{"code", "one code", "/?code=KernelPanic", of(records / len(causes))},
		{"owner", "the pods of an owner", "/?owner=Job/train-1",
			fmt.Sprintf(`\b1 to %d of %d\b`, podsOfAJob, podsOfAJob)},
		{"far_back", "a page half way back", "/?after=" + far + ",team-00/zzz", of(records)},
		{"job", "the page of a Job", "/jobs/" + namespaceOf(0) + "/train-1", `>train-\d+-\d+<`},
		{"nodes", "the newest nodes, with the chart", "/nodes", of(nodes)},
		{"nodes_search", "a search that finds one node", "/nodes?q=" + nodeOf(nodes/2),
			`>` + nodeOf(nodes/2) + `<`},
	}
}

// counted is what a list says of its length.
var counted = regexp.MustCompile(`\d+ to \d+ of \d+`)

// of is how many records a list has.
func of(records int) string { return fmt.Sprintf(` of %d\b`, records) }

// A visitor may read all records.
type visitor struct {
	client         *http.Client
	address, token string
}

func newVisitor(ctx context.Context, c *bench.Cluster) (*visitor, error) {
	const name = "visitor"
	accounts := c.Client.CoreV1().ServiceAccounts(bench.Namespace)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create the visitor: %w", err)
	}
	made, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{},
		metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create a token of the visitor: %w", err)
	}
	meta := metav1.ObjectMeta{Name: "bench-visitor"}
	if _, err := c.Client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta,
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"*"},
				Verbs: []string{"get", "list"}},
			{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"get"}},
		}}, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create the visitor's role: %w", err)
	}
	if _, err := c.Client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole",
			Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: bench.Namespace,
			Name: name}},
	}, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("bind the visitor's role: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.RESTConfig().CAData)
	return &visitor{
		client: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
		address: "https://" + c.Epitaph.Config.Page.Address, token: made.Status.Token,
	}, nil
}

// took is how long the answers took.
type took struct{ half, most time.Duration }

// measure asks for a page so many times. An answer that does not say what was asked for, or none,
// has failed, and says so.
func (v *visitor) measure(ctx context.Context, p page, rounds int) (t took, failed int,
	err error) {
	all, says := make([]time.Duration, rounds), regexp.MustCompile(p.says)
	for n := range all {
		began := time.Now()
		status, body, err := v.get(ctx, p.path)
		if err != nil {
			return t, failed, err
		}
		all[n] = time.Since(began)
		if status != http.StatusOK || !says.MatchString(body) {
			failed++
			fmt.Fprintf(os.Stderr, "%s: %d after %s, without %s: %q\n", p.path, status, all[n],
				p.says, counted.FindString(body))
		}
	}
	slices.Sort(all)
	return took{all[rounds/2], all[rounds-1]}, failed, nil
}

func (v *visitor) get(ctx context.Context, path string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.address+path, nil)
	if err != nil {
		return 0, "", fmt.Errorf("ask for %s: %w", path, err)
	}
	r.Header.Set("Authorization", "Bearer "+v.token)
	answer, err := v.client.Do(r)
	if err != nil {
		return 0, "", fmt.Errorf("ask for %s: %w", path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, "", fmt.Errorf("read %s: %w", path, err)
	}
	return answer.StatusCode, string(text), nil
}
