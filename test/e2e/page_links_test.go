package e2e

import (
	"net/http"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// From each page, links lead to what it tells of.
func TestPageLinks(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	node := panickedNode()
	owners := []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: "train", UID: "j"},
		{APIVersion: "batch/v1", Kind: "CronJob", Name: "train-nightly", UID: "c"}}
	ofJob := obituary(namespace, "train-x", func(s *v1alpha1.PodObituarySpec) {
		s.NodeName, s.NodeObituary, s.Owners = node.Name, node.Name, owners
	})
	inSet := obituary(namespace, "web-0", func(s *v1alpha1.PodObituarySpec) {
		s.NodeName = node.Name
		s.Owners = []v1alpha1.Owner{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "web"}}
	})
	shared.listed(t, node, ofJob, inSet)
	all, one := shared.clusterReader(t, namespace), shared.reader(t, namespace, "ursula")

	toJob := `<a href="/jobs/` + namespace + `/train">Job/train</a>`
	toCronJob := `<a href="/?namespace=` + namespace +
		`&amp;owner=CronJob%2Ftrain-nightly">CronJob/train-nightly</a>`
	toSet := `<a href="/?namespace=` + namespace + `&amp;owner=StatefulSet%2Fweb">StatefulSet/web</a>`
	toNode := `<a href="/nodes/` + node.Name + `">`
	toItsPods := `<a href="/?namespace=` + namespace + `&amp;node=` + node.Name + `">`
	toPod := `<a href="/pods/` + namespace + `/` + ofJob.Name + `">`
	for name, tc := range map[string]struct {
		token, path  string
		want, refuse []string
	}{
		"list": {all, "/?namespace=" + namespace, []string{
			"<title>Pods that left from " + namespace + " · Epitaph</title>",
			toPod, toJob, toCronJob, toSet, toNode + node.Name + "</a>",
			// A pod that did not die with the node.
			toItsPods + node.Name + "</a>"}, nil},
		"list, without nodes": {one, "/?namespace=" + namespace,
			[]string{toPod, toJob, toItsPods}, []string{"/nodes"}},
		"pod": {all, "/pods/" + namespace + "/" + ofJob.Name, []string{
			"<title>Pod " + namespace + "/train-x · Epitaph</title>",
			toJob, toCronJob, toNode, toItsPods}, nil},
		"node": {all, "/nodes/" + node.Name, []string{
			"<title>Node " + node.Name + " · Epitaph</title>", toPod, toJob,
			`<a href="/?node=` + node.Name + `">`}, []string{"web-0"}},
		"job": {one, "/jobs/" + namespace + "/train", []string{
			"<title>Job " + namespace + "/train · Epitaph</title>", toPod, toCronJob,
			toItsPods}, []string{"web-0", "/nodes"}},
		"owner": {one, "/?namespace=" + namespace + "&owner=StatefulSet/web",
			[]string{"web-0</a>"}, []string{"train-x"}},
		"topmost owner": {one, "/?namespace=" + namespace + "&owner=train-nightly",
			[]string{"train-x</a>"}, []string{"web-0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared.shows(t, tc.token, tc.path, tc.want, tc.refuse)
		})
	}
}

// shows visits a page, which must have what is wanted and nothing of what is refused.
func (c *cluster) shows(t *testing.T, token, path string, want, refuse []string) string {
	t.Helper()
	got := c.visit(t, http.MethodGet, path, token, nil)
	if got.status != http.StatusOK {
		t.Fatalf("%s: %d\n%s", path, got.status, got.body)
	}
	for _, text := range want {
		if !strings.Contains(got.body, text) {
			t.Errorf("%s lacks %q:\n%s", path, text, got.body)
		}
	}
	for _, text := range refuse {
		if strings.Contains(got.body, text) {
			t.Errorf("%s has %q:\n%s", path, text, got.body)
		}
	}
	return got.body
}

// A Job's page has all its pods, and its verdict if the visitor may read the Job.
func TestPageOfAJob(t *testing.T) {
	t.Parallel()
	mine, theirs := shared.namespace(t), shared.namespace(t)
	uid := suspendedJob(t, mine, "train")
	of := func(uid types.UID) func(*v1alpha1.PodObituarySpec) {
		return func(s *v1alpha1.PodObituarySpec) {
			s.Owners = []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: "train",
				UID: uid}}
		}
	}
	shared.listed(t, obituary(mine, "train-0", of(uid)),
		obituary(mine, "train-1", of("earlier")), obituary(mine, "other"),
		obituary(mine, "volcano", func(s *v1alpha1.PodObituarySpec) {
			s.Owners = []v1alpha1.Owner{{APIVersion: "batch.volcano.sh/v1alpha1", Kind: "Job",
				Name: "train"}}
		}),
		obituary(theirs, "train-2", of("theirs")))
	token := shared.reader(t, mine, "ursula")
	path := "/jobs/" + mine + "/train"
	noRight := "You have no right to read the Job itself"
	shared.shows(t, token, path, []string{"<h1>Job " + mine + "/train</h1>", "train-0</a></td>",
		"train-1</a>", noRight, "1 to 2 of 2"},
		[]string{"train-2", "other</a>", "volcano", `class="verdict`})

	with, user := shared.account(t, mine, "job-reader")
	shared.grantIn(t, mine, user, rbacv1.PolicyRule{APIGroups: []string{
		v1alpha1.GroupVersion.Group}, Resources: []string{"podobituaries"}, Verbs: []string{"list"}},
		rbacv1.PolicyRule{APIGroups: []string{batchv1.GroupName}, Resources: []string{"jobs"},
			Verbs: []string{"get"}})
	shared.hasRight(t, user, mine, batchv1.GroupName, "jobs", "get")
	shared.shows(t, with, path, []string{"1 pod of it is on record", "train-0</a></td>",
		"train-1</a> (of an earlier Job of this name)", `<p class="verdict no">`,
		"Job train is suspended; resume it instead."}, []string{noRight, "train-2"})

	for path, status := range map[string]int{
		"/jobs/" + theirs + "/train":  http.StatusForbidden,
		"/jobs/" + mine + "/nothing":  http.StatusNotFound,
		"/jobs/" + mine + "/No%2FJob": http.StatusNotFound,
	} {
		if got := shared.visit(t, http.MethodGet, path, with, nil); got.status != status ||
			strings.Contains(got.body, "train-2") {
			t.Errorf("%s: %d, want %d\n%s", path, got.status, status, got.body)
		}
	}
}
