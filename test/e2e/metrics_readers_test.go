package e2e

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readMetrics asks for the metrics with a token, or with none.
func (c *cluster) readMetrics(t *testing.T, token string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Epitaph.MetricsURL,
		nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.MetricsReader(token).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// letReadMetrics binds the user to the chart's ClusterRole, and waits until the API server knows.
func (c *cluster) letReadMetrics(t *testing.T, namespace, user string) {
	t.Helper()
	if _, err := c.client.RbacV1().ClusterRoleBindings().Create(t.Context(),
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace + "-metrics"},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole",
				Name: "epitaph-metrics-reader"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind,
				Name: user}},
		}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, NonResourceAttributes: &authorizationv1.NonResourceAttributes{
			Path: "/metrics", Verb: "get"},
	}}
	c.eventually(t, user+" may get /metrics", func(ctx context.Context) (bool, error) {
		answer, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review,
			metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	})
}

// The metrics are for those who may get /metrics; a certificate of the webhook's serves them.
func TestMetricsAreForThoseWhoMayReadThem(t *testing.T) {
	t.Parallel()
	c, ns := shared, shared.namespace(t)
	stranger, _ := c.account(t, ns, "stranger")
	prometheus, user := c.account(t, ns, "prometheus")
	c.letReadMetrics(t, ns, user)
	for name, try := range map[string]struct {
		token string
		want  int
	}{
		"no token":         {"", http.StatusUnauthorized},
		"an unknown token": {"nobody's", http.StatusInternalServerError},
		"without right":    {stranger, http.StatusForbidden},
		"with right":       {prometheus, http.StatusOK},
	} {
		status, text := c.readMetrics(t, try.token)
		if status != try.want || strings.Contains(text, "epitaph_") != (status == http.StatusOK) {
			t.Errorf("%s: the answer is %d, want %d; it has %d bytes", name, status, try.want,
				len(text))
		}
	}
	plain := strings.Replace(c.Epitaph.MetricsURL, "https://", "http://", 1)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _ = response.Body.Close(); response.StatusCode != http.StatusBadRequest {
		t.Errorf("by HTTP they answer %s", response.Status)
	}
}
