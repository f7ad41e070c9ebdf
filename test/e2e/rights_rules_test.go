package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// An account is a service account of the chart; its ClusterRole, and its Roles in namespaces, have
// its name.
type account string

const (
	ourNamespace         = "epitaph-system"
	theManager   account = "epitaph-manager"
	theAgent     account = "epitaph-agent"
	// theReporter is no account of its own: the manager has that ClusterRole, too, where it reports
	// findings.
	theReporter account = "epitaph-reports"
	// theOwnersRole lets the manager read what is above a pod's own controller.
	theOwnersRole account = "epitaph-owners"
	// theClaimsRole lets the manager read what is said of NodeClaims.
	theClaimsRole account = "epitaph-nodeclaims"
)

// page is the page of the documentation that tells what breaks without each rule.
func (a account) page() string {
	return map[account]string{theManager: "install.md", theReporter: "install.md",
		theAgent: "agent.md"}[a]
}

// file is the chart's file that grants it its rights.
func (a account) file() string {
	return map[account]string{theManager: "rbac.yaml", theAgent: "agent.yaml"}[a]
}

func (w withdrawal) is(rule rbacv1.PolicyRule) bool {
	return (w.group == "" || slices.Contains(rule.APIGroups, w.group)) &&
		slices.Contains(rule.Resources, w.resource) && slices.Contains(rule.Verbs, w.verb)
}

// wantEachRule checks that no rule is left out here, and that the documentation tells of each.
func wantEachRule(t *testing.T, c *cluster, whose account, all []withdrawal) {
	t.Helper()
	checkout, err := binaries.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(checkout, "docs", whose.page()))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range whose.namespaces() {
		for _, rule := range c.rules(t, whose, in) {
			n := slices.IndexFunc(all, func(w withdrawal) bool { return w.in == in && w.is(rule) })
			if n < 0 {
				t.Errorf("no test takes the rule away that grants %s %q on %q", whose, rule.Verbs,
					rule.Resources)
			} else if !strings.Contains(string(doc), "| "+all[n].breaks+" |") {
				t.Errorf("docs/%s does not say of %q: %s", whose.page(), rule.Resources,
					all[n].breaks)
			}
		}
	}
}

// namespaces are where the account has a Role, and none for its ClusterRole.
func (a account) namespaces() []string {
	return map[account][]string{
		theManager: {"", ourNamespace, corev1.NamespaceNodeLease}, theAgent: {"", ourNamespace},
		theReporter: {""},
	}[a]
}

func (c *cluster) rules(t *testing.T, whose account, in string) []rbacv1.PolicyRule {
	t.Helper()
	if in != "" {
		role, err := c.client.RbacV1().Roles(in).Get(t.Context(), string(whose),
			metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return role.Rules
	}
	role, err := c.client.RbacV1().ClusterRoles().Get(t.Context(), string(whose),
		metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return role.Rules
}

func (c *cluster) setRules(t *testing.T, whose account, in string, rules []rbacv1.PolicyRule) {
	t.Helper()
	var err error
	if in != "" {
		_, err = c.client.RbacV1().Roles(in).Update(t.Context(), &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: string(whose)}, Rules: rules,
		}, metav1.UpdateOptions{})
	} else {
		_, err = c.client.RbacV1().ClusterRoles().Update(t.Context(), &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: string(whose)}, Rules: rules,
		}, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// withdraw takes the rule away until it is put back. The API server knows of either a moment later:
// it watches the roles.
func (c *cluster) withdraw(t *testing.T, whose account, w withdrawal) (putBack func()) {
	t.Helper()
	before := c.rules(t, whose, w.in)
	after := slices.DeleteFunc(slices.Clone(before), w.is)
	if len(after) != len(before)-1 {
		t.Fatalf("%s on %s is granted by %d rules", w.verb, w.resource, len(before)-len(after))
	}
	right := before[slices.IndexFunc(before, w.is)]
	c.setRules(t, whose, w.in, after)
	c.untilAllowed(t, whose, w, right, false)
	return func() {
		c.setRules(t, whose, w.in, before)
		c.untilAllowed(t, whose, w, right, true)
	}
}

// untilAllowed waits until the API server allows the account what the rule grants, or does not.
func (c *cluster) untilAllowed(t *testing.T, whose account, w withdrawal, rule rbacv1.PolicyRule,
	want bool) {
	t.Helper()
	resource, subresource, _ := strings.Cut(w.resource, "/")
	asked := &authorizationv1.ResourceAttributes{
		Namespace: w.in, Verb: w.verb, Group: rule.APIGroups[0], Resource: resource,
		Subresource: subresource,
	}
	if len(rule.ResourceNames) > 0 {
		asked.Name = rule.ResourceNames[0]
	}
	user := "system:serviceaccount:" + ourNamespace + ":" + string(whose.serviceAccount())
	c.eventually(t, fmt.Sprintf("%s on %s is allowed to %s: %t", w.verb, w.resource, user, want),
		func(ctx context.Context) (bool, error) {
			review := &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: asked,
					User: user}}
			answer, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review,
				metav1.CreateOptions{})
			if err != nil {
				return false, err
			}
			return answer.Status.Allowed == want, nil
		})
}

// serviceAccount is whose the rules are in the end.
func (a account) serviceAccount() account {
	if a == theReporter || a == theOwnersRole || a == theClaimsRole {
		return theManager
	}
	return a
}
