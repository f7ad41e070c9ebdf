package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	texttemplate "text/template"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The instances that an ec2 is asked about: about the one it answers, about the other never.
const (
	knownInstance  = "i-0598c7d356eba48d7"
	silentInstance = "i-0ffffffffffffffff"
)

// An ec2 answers as EC2's documentation shows it, after it has refused once.
type ec2 struct {
	*httptest.Server

	mu      sync.Mutex
	refused bool
	asked   []string
}

func startEC2(t *testing.T) *ec2 {
	t.Helper()
	e := &ec2{}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *ec2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Form.Get("InstanceId.1") == silentInstance {
		<-r.Context().Done()
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, r.Form.Get("Action")+" "+r.Form.Get("InstanceId.1"))
	switch {
	case !e.refused:
		e.refused = true
		w.WriteHeader(http.StatusServiceUnavailable)
		documented(w, "Error.xml", map[string]string{"Code": "RequestLimitExceeded",
			"Message": "Request limit exceeded."})
	case r.Form.Get("Action") == "DescribeInstances":
		documented(w, "DescribeInstances.xml", map[string]any{"State": "terminated",
			"Code":    "Server.SpotInstanceTermination",
			"Message": "Server.SpotInstanceTermination: Instance termination due to capacity",
			"Reason":  "Server.SpotInstanceTermination", "Spot": true, "Group": ""})
	default:
		w.WriteHeader(http.StatusForbidden)
		documented(w, "Error.xml", map[string]string{"Code": "UnauthorizedOperation",
			"Message": "You are not authorized to perform this operation."})
	}
}

// documented fills in a reply of the tests of cloud/aws.
func documented(w http.ResponseWriter, name string, with any) {
	file, err := texttemplate.ParseFiles(filepath.Join("..", "..", "cloud", "aws", "testdata",
		"documented", name))
	if err == nil {
		err = file.Execute(w, with)
	}
	if err != nil {
		panic(err)
	}
}

// askCloud runs epitaph-cloud with exactly its own rights.
func (c *cluster) askCloud(t *testing.T, endpoint string) {
	t.Helper()
	dir := t.TempDir()
	program, kubeconfig := filepath.Join(dir, "epitaph-cloud"), filepath.Join(dir, "kubeconfig")
	if err := binaries.Cloud(t.Context(), os.Stdout, program); err != nil {
		t.Fatal(err)
	}
	token, err := c.client.CoreV1().ServiceAccounts(ourNamespace).CreateToken(t.Context(),
		"epitaph-cloud", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WriteKubeconfig(kubeconfig, token.Status.Token); err != nil {
		t.Fatal(err)
	}
	// Whoever runs this may have an account there.
	p, err := c.Launch(unique("epitaph-cloud"), "/usr/bin/env", "-u", "AWS_PROFILE", "-u",
		"AWS_SESSION_TOKEN", "AWS_CONFIG_FILE="+os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true", program, "--ask", "aws",
		"--aws-endpoint", endpoint, "--kubeconfig", kubeconfig, "--namespace", ourNamespace,
		"--leader-elect")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if log, err := os.ReadFile(p.LogPath); err == nil && t.Failed() {
			t.Logf("the end of its log:\n%s", log[max(0, len(log)-4000):])
		}
	})
}

// instanceGoes has a Node of EC2 leave with its pod, when the cloud-controller-manager finds that its
// instance is gone. Nobody waits for the cloud.
func (c *cluster) instanceGoes(t *testing.T, instance, ns, pod string) (node string) {
	t.Helper()
	n, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: unique("n"),
		ProviderID: "aws:///eu-west-1c/" + instance})
	if err != nil {
		t.Fatal(err)
	}
	c.pod(t, ns, n.Name, pod)
	if err := c.TakeInstanceAway(n.Name); err != nil {
		t.Fatal(err)
	}
	if d := c.leaves(t, reason.Pod, ns+"/"+pod, reason.Reason{}); d.Reason.Code != reason.CloudInstanceGone {
		t.Errorf("the pod left with %+v", d.Reason)
	}
	return n.Name
}

// The program itself asks EC2 after a Node has gone, and the records of the Node and of its pod
// say what EC2 says, as do the plugin and the page. About another Node EC2 never answers: that holds
// up neither the Node, nor its pod, nor the question about the first.
func TestCloudIsAsked(t *testing.T) {
	t.Parallel()
	cloud := startEC2(t)
	shared.askCloud(t, cloud.URL)
	ns := shared.namespace(t)
	shared.instanceGoes(t, silentInstance, ns, "q")
	node := shared.instanceGoes(t, knownInstance, ns, "p")

	p := shared.amended(t, ns, "p", reason.SpotInterrupted)
	record := shared.recordOf(t, node)
	if record.Spec.Code != string(reason.SpotInterrupted) || record.Spec.Amended == nil ||
		record.Spec.Amended.Was != string(reason.CloudInstanceGone) || p.Amended.From != "aws api" ||
		p.Amended.Was != string(reason.CloudInstanceGone) {
		t.Errorf("the node is on record with %+v, the pod with %+v", record.Spec, p)
	}
	shared.eventually(t, "the plugin tells it", func(context.Context) (bool, error) {
		said := shared.plugin(t, "why", "pod/p", "-n", ns).out
		return strings.Contains(said, "Server.SpotInstanceTermination"), nil
	})
	token := shared.clusterReader(t, ns)
	shared.eventually(t, "the page tells it", func(context.Context) (bool, error) {
		page := shared.visit(t, http.MethodGet, "/nodes/"+record.Name, token, nil)
		return strings.Contains(page.body, "Server.SpotInstanceTermination"), nil
	})
	if said := shared.plugin(t, "doctor").out; !strings.Contains(said, " API of aws ") {
		t.Errorf("doctor does not tell what EC2 answers:\n%s", said)
	}
	cloud.mu.Lock()
	defer cloud.mu.Unlock()
	if len(cloud.asked) < 2 || cloud.asked[0] != "DescribeInstances "+knownInstance ||
		cloud.asked[1] != cloud.asked[0] {
		t.Errorf("EC2 was asked %q", cloud.asked)
	}
}
