package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/test/netconsolefs"
)

const agentNamespace, agentAccount = "epitaph-system", "epitaph-agent"

// agentOf is how the agent of a node authenticates: with a token that is bound to the node, or, without a name, to nothing.
func (c *cluster) agentOf(t *testing.T, node string) *rest.Config {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	if node != "" {
		n, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Node", APIVersion: "v1", Name: node, UID: n.UID}
	}
	token, err := c.client.CoreV1().ServiceAccounts(agentNamespace).CreateToken(t.Context(), agentAccount, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	as := rest.AnonymousClientConfig(c.RESTConfig())
	as.BearerToken = token.Status.Token
	return as
}

// The agent does all its work with exactly these rights.
func TestAgentWithItsRights(t *testing.T) {
	t.Parallel()
	node := shared.node(t)
	kernel := netconsolefs.New(netconsolefs.Versions["6.14"])
	as := shared.agentOf(t, node.Name)
	// Its Service is in Epitaph's namespace, and nowhere else may it look.
	shared.listenAt(t, agentNamespace, "10.9.1.1")
	a := shared.agentOn(t, as, node.Name, agentNamespace, kernel)
	if r := a.Pass(t.Context()); len(r.Faults) > 0 {
		t.Fatalf("faults %v", r.Faults)
	}
	if report, token := shared.report(t, node.Name); len(report.SpeaksTo) != 1 || token == "" {
		t.Errorf("the Node says %+v and has the token %q", report, token)
	}
	if err := a.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAgentGetsNoFurther(t *testing.T) {
	t.Parallel()
	own, other := shared.node(t), shared.node(t)
	patch := func(node, format string, args ...any) func(context.Context, *kubernetes.Clientset) error {
		return func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, fmt.Appendf(nil, format, args...), metav1.PatchOptions{}, "status")
			return err
		}
	}
	annotate := func(node, key string) func(context.Context, *kubernetes.Clientset) error {
		return patch(node, `{"metadata":{"annotations":{%q:"x"}}}`, key)
	}
	const (
		annotations = "the agent may change no annotation but its evidence, its token and its report"
		nothingElse = "the agent may change nothing of its Node but annotations"
	)
	ownOnly := "the agent may write to the status of its own Node only, which is " + own.Name
	tests := map[string]struct {
		try     func(context.Context, *kubernetes.Clientset) error
		unbound bool
		want    string
	}{
		"its evidence":                    {try: annotate(own.Name, reason.EvidenceKey)},
		"its token":                       {try: annotate(own.Name, config.TokenKey)},
		"its report":                      {try: annotate(own.Name, termination.ReportKey)},
		"the evidence of another node":    {try: annotate(other.Name, reason.EvidenceKey), want: ownOnly},
		"the token of another node":       {try: annotate(other.Name, config.TokenKey), want: ownOnly},
		"a token that is bound to nobody": {try: annotate(own.Name, reason.EvidenceKey), unbound: true, want: "which is none: its token is bound to no node"},
		"a reason":                        {try: annotate(own.Name, keys.Node.Reason), want: annotations},
		"the intent to bury itself":       {try: annotate(own.Name, termination.CondemnedKey), want: annotations},
		"somebody's annotation goes":      {try: patch(own.Name, `{"metadata":{"annotations":{"example.com/theirs":null}}}`), want: annotations},
		"somebody's annotation changes":   {try: annotate(own.Name, "example.com/theirs"), want: annotations},
		"all annotations go":              {try: patch(own.Name, `{"metadata":{"annotations":null}}`), want: annotations},
		"beside what it may":              {try: patch(own.Name, `{"metadata":{"annotations":{%q:"x","a":"b"}}}`, reason.EvidenceKey), want: annotations},
		"a label":                         {try: patch(own.Name, `{"metadata":{"labels":{"a":"b"}}}`), want: nothingElse},
		"a finalizer":                     {try: patch(own.Name, `{"metadata":{"finalizers":["example.com/never"]}}`), want: nothingElse},
		"an owner":                        {try: patch(own.Name, `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":%q,"uid":"x"}]}}`, other.Name), want: nothingElse},
		"its boot ID":                     {try: patch(own.Name, `{"status":{"nodeInfo":{"bootID":"x"}}}`), want: nothingElse},
		"its addresses":                   {try: patch(own.Name, `{"status":{"addresses":[{"type":"InternalIP","address":"10.66.6.6"}]}}`), want: nothingElse},
		"its spec": {
			try: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.CoreV1().Nodes().Patch(ctx, own.Name, types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
				return err
			},
			want: `cannot patch resource "nodes" in API group ""`,
		},
		"the Node itself goes": {
			try: func(ctx context.Context, c *kubernetes.Clientset) error {
				return c.CoreV1().Nodes().Delete(ctx, own.Name, metav1.DeleteOptions{})
			},
			want: `cannot delete resource "nodes" in API group ""`,
		},
		"all Nodes": {
			try: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
				return err
			},
			want: `cannot list resource "nodes" in API group ""`,
		},
		"a better token": {
			try: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.CoreV1().ServiceAccounts(agentNamespace).CreateToken(ctx, agentAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
				return err
			},
			want: `cannot create resource "serviceaccounts/token" in API group ""`,
		},
	}
	theirs := []byte(`{"metadata":{"annotations":{"example.com/theirs":"theirs"}}}`)
	if _, err := shared.client.CoreV1().Nodes().Patch(t.Context(), own.Name, types.MergePatchType, theirs, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	bound := shared.clientFor(t, shared.agentOf(t, own.Name))
	unbound := shared.clientFor(t, shared.agentOf(t, ""))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := bound
			if tc.unbound {
				as = unbound
			}
			err := tc.try(t.Context(), as)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("ended with %v, want %q", err, tc.want)
			}
		})
	}
}

// What RBAC may one day allow by mistake, the policy still refuses.
func TestAgentPolicyIsTheSecondNet(t *testing.T) {
	t.Parallel()
	node := shared.node(t)
	extra := map[string][]string{"authentication.kubernetes.io/node-name": {node.Name}}
	as := shared.As("system:serviceaccount:"+agentNamespace+":"+agentAccount, "system:masters")
	as.Impersonate.Extra = extra
	c := shared.clientFor(t, as)
	want := "the agent may write to the status of its own Node only, which is " + node.Name
	tries := map[string]func(context.Context) error{
		"delete its Node": func(ctx context.Context) error {
			return c.CoreV1().Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{})
		},
		"cordon its Node": func(ctx context.Context) error {
			_, err := c.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
			return err
		},
		"make a Node": func(ctx context.Context) error {
			_, err := c.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: unique("forged")}}, metav1.CreateOptions{})
			return err
		},
		"make a ConfigMap": func(ctx context.Context) error {
			_, err := c.CoreV1().ConfigMaps(agentNamespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: unique("c")}}, metav1.CreateOptions{})
			return err
		},
	}
	for name, try := range tries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := try(t.Context()); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("ended with %v, want %q", err, want)
			}
		})
	}
}
