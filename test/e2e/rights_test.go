package e2e

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// A withdrawal is a rule that is taken out of Epitaph's roles, and what becomes of it.
type withdrawal struct {
	// resource is one that the rule is about, and verb one that it grants; together they tell it
	// from the others.
	resource, verb string
	// group is the resource's, where a test asks for it.
	group string
	// in is the namespace of the Role that has the rule, empty for the ClusterRole.
	in string
	// breaks is what the documentation says.
	breaks string
	// unready is set where Epitaph does not become ready without it.
	unready bool
	// of is the API that not every release has, empty for others.
	of string
	// shows does what needs the right and checks what becomes of it.
	shows func(*testing.T, *cluster)
	// says is what the API server answers, which Epitaph's log must tell.
	says string
}

func withdrawals() []withdrawal {
	return []withdrawal{
		{resource: "pods", verb: "delete", unready: true,
			says:   `cannot list resource "pods"`,
			breaks: "the manager knows nothing of pods and nodes: a replica does not become ready"},
		{resource: "pods/status", verb: "patch", shows: reasonsAreNotWritten,
			breaks: "the manager cannot write a reason: a deletion passes with a warning, or fails with `failurePolicy: Fail`"},
		{resource: "namespaces", verb: "list", unready: true,
			says:   `cannot list resource "namespaces"`,
			breaks: "the manager cannot judge rules with namespace labels: a replica does not become ready"},
		{resource: "leases", verb: "watch", in: corev1.NamespaceNodeLease, unready: true,
			says:   `cannot list resource "leases"`,
			breaks: "the manager cannot judge unsigned panics: a replica does not become ready"},
		{resource: "events", verb: "create", shows: aPodIsRecorded,
			says: `cannot create resource "events"`, breaks: "no Events; all else goes on"},
		{resource: "deployments", verb: "get", shows: theDeploymentIsNotNamed,
			breaks: "a record names the ReplicaSet and not its Deployment, and does not say whether the pods that it removes were replaced or too many"},
		{resource: "replicationcontrollers", verb: "get", shows: theReplicationControllerIsNotRead,
			breaks: "a record does not say that the pods that a ReplicationController removes were too many"},
		{resource: "jobs", verb: "get", shows: theCronJobIsNotNamed,
			breaks: "a record names the Job and not its CronJob, and does not say why the Job removes a pod"},
		{resource: "resourceclaims", verb: "get", of: devicesAPI, shows: theDeviceIsNotNamed,
			breaks: "the record of a pod driven off its device does not say which one"},
		{resource: "resourceslices", verb: "list", of: devicesAPI, shows: theDeviceIsNotNamed,
			breaks: "the same, nor who tainted it"},
		{resource: "nodeclaims", verb: "get", shows: theNodeClaimIsNotRead,
			breaks: "the record of a node that Karpenter removes does not say why"},
		{resource: "poddisruptionbudgets", verb: "list", unready: true,
			says:   `cannot list resource "poddisruptionbudgets"`,
			breaks: "the manager does not know which evictions will be refused: a replica does not become ready"},
		{resource: "nodeobituaries", verb: "create", unready: true,
			says:   `cannot list resource "nodeobituaries"`,
			breaks: "the manager does not know what nodes died of: a replica does not become ready"},
		{resource: "mutatingwebhookconfigurations", verb: "list", unready: true,
			says:   `cannot list resource "mutatingwebhookconfigurations"`,
			breaks: "the manager does not know whether the API server trusts the certificate: a replica does not become ready"},
		{resource: "podobituaries", verb: "create", shows: aPodIsNotRecorded,
			says:   `cannot create resource "podobituaries"`,
			breaks: "no records: they are written once the right is back; the page learns of no new ones"},
		{resource: "ownerobituaries", verb: "create", shows: theDeleterOfTheOwnerIsNotNamed,
			says:   `cannot create resource "ownerobituaries"`,
			breaks: "when somebody deletes an owner, the records of its pods do not say who, nor why"},
		{resource: "tokenreviews", verb: "create", shows: nobodyReads,
			says:   `cannot create resource "tokenreviews"`,
			breaks: "nobody can sign in to the page, nor read the metrics"},
		{resource: "subjectaccessreviews", verb: "create", shows: nobodyReads,
			says:   `cannot create resource "subjectaccessreviews"`,
			breaks: "neither the page nor the metrics show anything to anybody"},
		{resource: "leases", verb: "update", in: ourNamespace,
			says: `cannot get resource "leases" in API group "coordination.k8s.io" in the namespace "epitaph-system"`, breaks: "no replica leads: nothing collects garbage, and nothing is recorded"},
		{resource: "configmaps", verb: "create", in: ourNamespace,
			says:   `cannot create resource "configmaps"`,
			breaks: "recording does not begin in a new installation"},
		{resource: "configmaps", verb: "update", in: ourNamespace,
			says:   `cannot get resource "configmaps"`,
			breaks: "recording does not begin: the manager does not know where the last leader stopped"},
	}
}

// Each rule of the chart's roles is taken away in turn. Something breaks each time, and says so.
func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			listening(k)
			k.LeaderElection.Enabled = true
		}}})
	c.needsEachRule(t, theManager, withdrawals())
}

// needsEachRule takes the rules away one after the other, each time from an Epitaph that starts.
func (c *cluster) needsEachRule(t *testing.T, whose account, all []withdrawal) {
	t.Helper()
	c.Epitaph.Stop()
	wantEachRule(t, c, whose, all)
	for _, w := range all {
		if w.of != "" && !c.has(t, w.of) {
			continue
		}
		t.Run(w.verb+" "+w.resource, func(t *testing.T) {
			putBack := c.withdraw(t, whose, w)
			defer putBack()
			c.forget(t, w)
			before := logged(t, c)
			limit, cancel := context.WithTimeout(t.Context(), patience)
			if w.unready {
				limit, cancel = context.WithTimeout(t.Context(), 5*time.Second)
			}
			defer cancel()
			defer func() {
				if t.Failed() {
					c.showLog(t)
				}
				c.Epitaph.Stop()
			}()
			if err := c.Epitaph.Start(limit); (err != nil) != w.unready {
				t.Fatalf("starting ended with %v", err)
			}
			if w.shows != nil {
				w.shows(t, c)
			}
			c.eventually(t, "the log tells: "+w.says, func(context.Context) (bool, error) {
				return strings.Contains(strings.ReplaceAll(logged(t, c)[len(before):], `\`, ""),
					w.says), nil
			})
		})
	}
}

func logged(t *testing.T, c *cluster) string {
	t.Helper()
	log, err := c.Epitaph.Logs()
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// forget makes the installation a new one, where recording has not begun.
func (c *cluster) forget(t *testing.T, w withdrawal) {
	t.Helper()
	if w.resource == "configmaps" {
		_ = c.client.CoreV1().ConfigMaps("epitaph-system").Delete(t.Context(),
			"epitaph-audit", metav1.DeleteOptions{})
	}
}

func reasonsAreNotWritten(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.node(t).Name
	c.pod(t, ns, node, "a")
	deleter, warned := c.warned(t, runner)
	if err := deleter.CoreV1().Pods(ns).Delete(t.Context(), "a", atOnce); err != nil {
		t.Fatal(err)
	}
	if want := "epitaph: the reason could not be written: "; !strings.Contains(warned.String(),
		want) {
		t.Errorf("warned %q, want %q", warned, want)
	}
	c.leaves(t, reason.Pod, ns+"/a", reason.Reason{})
}

func aPodIsRecorded(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	c.unbound(t, ns, 1)
	c.insistsOnDeleting(t, c.as(t, runner), ns, "p-0")
	c.recorded(t, ns, "p-0")
}

func aPodIsNotRecorded(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	c.unbound(t, ns, 1)
	c.insistsOnDeleting(t, c.as(t, runner), ns, "p-0")
}

func theDeploymentIsNotNamed(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.node(t).Name
	pod := c.replicated(t, ns, node)
	c.remove(t, c.as(t, runner), ns, pod)
	c.wantOwners(t, ns, pod, "ReplicaSet")
	another := c.runningPodOf(t, ns, "app=web,pod-template-hash")
	if _, err := c.client.AppsV1().Deployments(ns).Patch(t.Context(),
		"web", types.StrategicMergePatchType, []byte(anotherImage),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	set := c.podLike(t, ns, another, "is there",
		func(*corev1.Pod) bool { return true }).OwnerReferences[0].Name
	c.leaves(t, reason.Pod, ns+"/"+another, reason.New(reason.Pod, reason.RemovedByOwner,
		"ReplicaSet "+set, kubeSystem+"replicaset-controller"))
}

func theCronJobIsNotNamed(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.node(t).Name
	pod := c.cronPod(t, ns, node)
	c.remove(t, c.as(t, runner), ns, pod)
	c.wantOwners(t, ns, pod, "Job")
	other := c.namespace(t)
	suspended := c.job(t, other, node)
	if _, err := c.client.BatchV1().Jobs(other).Patch(t.Context(), "work", types.MergePatchType,
		[]byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, other+"/"+suspended.Name,
		reason.New(reason.Pod, reason.RemovedByOwner, "Job work", kubeSystem+"job-controller"))
}

func (c *cluster) wantOwners(t *testing.T, ns, pod string, want ...string) {
	t.Helper()
	var got []string
	for _, owner := range c.recorded(t, ns, pod).Spec.Owners {
		got = append(got, owner.Kind)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the record names the owners %q, want %q", got, want)
	}
}

// nobodyReads wants the page and the metrics to be closed.
func nobodyReads(t *testing.T, c *cluster) {
	if all, err := c.Epitaph.Metrics(t.Context()); err == nil {
		t.Errorf("%d metrics are read", len(all))
	}
	ns := c.namespace(t)
	if got := c.visit(t, http.MethodGet, "/", c.reader(t, ns, "visitor"),
		nil); got.status != http.StatusBadGateway {
		t.Errorf("the page answers %d, want %d", got.status, http.StatusBadGateway)
	}
}
