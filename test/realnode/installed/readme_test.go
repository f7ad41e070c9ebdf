//go:build linux

package installed

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/recipes"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	registryUser, registryPassword = "releases", "correct horse"
	// pullSecret is what the nodes log in with.
	pullSecret = "pull"
	// documentedRegistry is the documentation's for the reader's own.
	documentedRegistry = "registry.example"
)

// A registry has TLS, of an authority that nobody else trusts, and asks for a login.
type registry struct {
	host      string
	authority []byte
	// authorityFile holds the authority, and login is a folder with Docker's configuration after a
	// login.
	authorityFile, login string
}

func startRegistry(ctx context.Context, s *sandbox.Sandbox, dir string) (*registry, error) {
	paths, err := binaries.Ensure(ctx, os.Stdout, binaries.Registry)
	if err != nil {
		return nil, err
	}
	address := realnode.Address.String()
	certificate, key, err := cert.GenerateSelfSignedCertKey(address, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make the registry's certificate: %w", err)
	}
	r := &registry{host: net.JoinHostPort(address, "5000"), authority: certificate,
		login: filepath.Join(dir, "registry")}
	if err := os.MkdirAll(r.login, 0o755); err != nil {
		return nil, err
	}
	r.authorityFile = filepath.Join(r.login, "ca.crt")
	keyFile := filepath.Join(r.login, "tls.key")
	login, err := r.dockerConfig()
	if err != nil {
		return nil, err
	}
	for file, content := range map[string][]byte{r.authorityFile: certificate, keyFile: key,
		filepath.Join(r.login, "config.json"): login} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return nil, err
		}
	}
	_, err = s.Launch("registry", paths["registry"], "--address="+r.host, "--user="+registryUser,
		"--password="+registryPassword, "--certificate="+r.authorityFile, "--key="+keyFile)
	return r, err
}

// dockerConfig is what `docker login` leaves.
func (r *registry) dockerConfig() ([]byte, error) {
	auth := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	return json.Marshal(map[string]any{"auths": map[string]any{
		r.host: map[string]string{"auth": auth}}})
}

// followReadme is a stranger who types what README's section on installing says, into a shell in the
// checkout: with a registry of his own, and with cert-manager. Beside that come the values that his
// cluster needs: it has one node, and its registry asks for a login.
func followReadme(t *testing.T, c *cluster) {
	must(t, c.StartCertManager(t.Context()))
	login, err := c.registry.dockerConfig()
	must(t, err)
	_, err = c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	must(t, err)
	_, err = c.client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: pullSecret}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: login}}, metav1.CreateOptions{})
	must(t, err)
	_, err = c.client.CoreV1().Nodes().Patch(t.Context(), playedNode, types.MergePatchType,
		[]byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	must(t, err)

	began := time.Now()
	said := c.follow(t, readme(t, c.registry.host))
	ran("readme", began)
	pods := c.pods(t, "manager")
	if len(pods) != 1 || pods[0].Status.Phase != corev1.PodRunning {
		t.Fatalf("the manager's pods are %+v", pods)
	}
	if image := pods[0].Spec.Containers[0].Image; !strings.HasPrefix(image,
		c.registry.host+"/team/epitaph:v0.1.0@sha256:") {
		t.Errorf("the manager runs %s, want what was pushed", image)
	}
	const asked = "I was only trying"
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := c.witness.Sees(ctx, reason.Pod, metav1.NamespaceDefault+"/sleeper")
	must(t, err)
	if want := (reason.Reason{Code: reason.UserRequest, Text: asked,
		By: administrator}); d.Reason != want {
		t.Errorf("it left with\n  %+v, want\n  %+v", d.Reason, want)
	}
	for _, want := range []string{"Phase:          Succeeded",
		"pod sleeper must not leave without a reason", "Pod default/sleeper left at", asked} {
		if !strings.Contains(said, want) {
			t.Errorf("README's commands printed\n%s\nwithout %q", said, want)
		}
	}
}

// readme is the section's commands as a script, for the registry. What the page says is refused has
// to be. A record may take longer here than where a person types.
func readme(t *testing.T, host string) string {
	t.Helper()
	commands, err := recipes.Commands("../../../README.md", "## Install it")
	must(t, err)
	var script strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(commands, documentedRegistry, host)) {
		command, remark, _ := strings.Cut(line, " # ")
		if strings.HasPrefix(remark, "is refused") {
			line = "if " + command + "; then echo 'it was not refused'; exit 1; fi\n"
		}
		if strings.HasPrefix(line, "kubectl epitaph why ") {
			line = strings.TrimSpace(line) + " --wait=" + patience.String() + "\n"
		}
		script.WriteString(line)
	}
	return script.String()
}

// follow runs a script in the checkout, as somebody who is logged in at the registry, trusts its
// authority, and has Helm, kubectl and a folder for programs on his PATH.
func (c *cluster) follow(t *testing.T, script string) string {
	t.Helper()
	tools, err := binaries.Ensure(t.Context(), os.Stdout, binaries.ControlPlane, binaries.ChartTools)
	must(t, err)
	programs := t.TempDir()
	for _, tool := range []string{"kubectl", "helm"} {
		must(t, os.Symlink(tools[tool], filepath.Join(programs, tool)))
	}
	values := filepath.Join(t.TempDir(), "values.yaml")
	must(t, os.WriteFile(values, []byte("replicas: 1\nimagePullSecrets: [{name: "+pullSecret+"}]\n"),
		0o644))
	// Helm has no other way to be given values than its arguments.
	const preamble = `set -eu -o pipefail
helm() { if [ "$1" = install ]; then command helm "$@" --values "$VALUES"; else command helm "$@"; fi; }
`
	shell := exec.CommandContext(t.Context(), "bash", "-c", preamble+script)
	shell.Dir = filepath.Join(filepath.Dir(c.chart), "..")
	shell.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "GOBIN="+programs,
		"KUBECONFIG="+c.Kubeconfig, "KUBECACHEDIR="+filepath.Join(c.dir, "discovery"),
		"DOCKER_CONFIG="+c.registry.login, "SSL_CERT_FILE="+c.registry.authorityFile,
		"VALUES="+values, "PLATFORM=linux/"+runtime.GOARCH)
	for _, home := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		shell.Env = append(shell.Env, home+"="+filepath.Join(c.dir, home))
	}
	said, err := shell.CombinedOutput()
	if err != nil {
		c.describe(t)
		t.Fatalf("README's commands: %v\n%s", err, said)
	}
	return string(said)
}
