package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/epitaph-k8s/epitaph/image/container"
)

const user, password = "releases", "correct horse"

// guarded is a registry with TLS that knows one user, and a folder with its authority.
func guarded(t *testing.T) (server *httptest.Server, host, authority string) {
	t.Helper()
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="releases"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		store.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	authority = filepath.Join(t.TempDir(), "ca.crt")
	writeFile(t, authority, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: server.Certificate().Raw})))
	return server, strings.TrimPrefix(server.URL, "https://"), authority
}

// login is a folder with Docker's configuration after a login with a password.
func login(t *testing.T, host, password string) string {
	t.Helper()
	dir := t.TempDir()
	config, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{
		"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), string(config))
	return dir
}

// What the program pushes to a registry with TLS that asks for a login is what the archive holds, is
// signed, and is what Helm installs: the chart asks for the image beside it.
func TestPush(t *testing.T) {
	server, host, authority := guarded(t)
	p, keyFile := aProgram(t), newKey(t)
	run := func(to, dockerConfig string) (string, error) {
		return p.run(t, []string{"DOCKER_CONFIG=" + dockerConfig, "SSL_CERT_FILE=" + authority},
			"push", "--version", testVersion, "--registry", to, "--key", keyFile,
			"--cloud")
	}
	for what, c := range map[string]struct{ to, dockerConfig, says string }{
		"without a login":     {host + "/team", t.TempDir(), "login " + host},
		"a wrong password":    {host + "/team", login(t, host, "guess"), "login " + host},
		"a registry's URL":    {"https://" + host, t.TempDir(), "without a scheme"},
		"nobody listens":      {"127.0.0.1:1/team", t.TempDir(), "connection refused"},
		"not a folder's name": {host + "/Team", t.TempDir(), "HOST[:PORT][/FOLDER]"},
	} {
		if said, err := run(c.to, c.dockerConfig); err == nil || !strings.Contains(said, c.says) {
			t.Errorf("%s: %v, said\n%s\nwant %q", what, err, said, c.says)
		}
	}
	loggedIn := login(t, host, password)
	said, err := run(host+"/team", loggedIn)
	if err != nil {
		t.Fatalf("%s (%v)", said, err)
	}
	there := registered{t, host, server.Client().Transport}
	pulled := there.index("team/epitaph:" + testVersion)
	if err := validate.Index(pulled); err != nil {
		t.Errorf("what was pulled is no valid image: %v", err)
	}
	digest := digestOf(t, pulled)
	if want := "epitaph:" + testVersion + "@" + digest; !strings.Contains(said, want) {
		t.Errorf("%s was pulled, and the archive holds another:\n%s", digest, said)
	}
	cloud := there.index("team/epitaph-cloud:" + testVersion)
	if err := validate.Index(cloud); err != nil {
		t.Errorf("the image of what asks the clouds is no valid one: %v", err)
	}
	if want := "--set cloud.image.repository=" + host + "/team/epitaph-cloud --set " +
		"cloud.image.digest=" + digestOf(t, cloud); !strings.Contains(said, want) {
		t.Errorf("it does not say %q:\n%s", want, said)
	}
	if got := p.archived(t); got != digest {
		t.Errorf("%s was pulled, and the archive holds %s", digest, got)
	}
	manifest, err := pulled.IndexManifest()
	if err != nil || len(manifest.Manifests) != len(container.Platforms) {
		t.Errorf("%d platforms were pushed (%v), want %d", len(manifest.Manifests), err,
			len(container.Platforms))
	}
	public := publicOf(t, keyFile)
	there.checkSigned(public, "team/epitaph", digest)

	h := helm{t, []string{"DOCKER_CONFIG=" + loggedIn}, authority}
	chart := "oci://" + host + "/team/charts/epitaph"
	if want := "helm install epitaph " + chart + " --version 0.0.0-test "; !strings.Contains(said,
		want) {
		t.Errorf("the program says\n%s\nwant %q", said, want)
	}
	rendered := h.run("template", "epitaph", chart, "--version", "0.0.0-test",
		"--kube-version", "1.37.2", "--set", "certificates.mode=helm")
	if want := "image: " + host + "/team/epitaph:" + testVersion + "@" + digest + "\n"; !strings.
		Contains(rendered, want) {
		t.Errorf("Helm renders no %q", want)
	}
	pulledTo := t.TempDir()
	h.run("pull", chart, "--version", "0.0.0-test", "--destination", pulledTo)
	archive := filepath.Join(pulledTo, "epitaph-0.0.0-test.tgz")
	ours := there.image("team/charts/epitaph:0.0.0-test")
	there.checkSigned(public, "team/charts/epitaph", digestOf(t, ours))

	// Helm's own push of the same archive makes the same artifact, as far as it says no time.
	h.run("push", archive, "oci://"+host+"/helm")
	theirs := there.image("helm/epitaph:0.0.0-test")
	if diff := cmp.Diff(describe(t, theirs), describe(t, ours)); diff != "" {
		t.Errorf("Helm pushes another artifact (-Helm's +ours):\n%s", diff)
	}
}

// A description is what Helm looks at in an artifact.
type description struct {
	Config         map[string]any
	ConfigType     types.MediaType
	Layers         []v1.Descriptor
	Title, Version string
}

func describe(t *testing.T, artifact v1.Image) (d description) {
	t.Helper()
	manifest, err := artifact.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := artifact.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(config, &d.Config); err != nil {
		t.Fatal(err)
	}
	d.ConfigType, d.Layers = manifest.Config.MediaType, manifest.Layers
	d.Title = manifest.Annotations["org.opencontainers.image.title"]
	d.Version = manifest.Annotations["org.opencontainers.image.version"]
	return d
}

// registered is what a registry holds.
type registered struct {
	t         *testing.T
	host      string
	transport http.RoundTripper
}

func (r registered) options() []remote.Option {
	return []remote.Option{remote.WithTransport(r.transport),
		remote.WithAuth(&authn.Basic{Username: user, Password: password})}
}

func (r registered) reference(ref string) name.Reference {
	r.t.Helper()
	parsed, err := name.ParseReference(r.host + "/" + ref)
	if err != nil {
		r.t.Fatal(err)
	}
	return parsed
}

func (r registered) index(ref string) v1.ImageIndex {
	r.t.Helper()
	index, err := remote.Index(r.reference(ref), r.options()...)
	if err != nil {
		r.t.Fatal(err)
	}
	return index
}

func (r registered) image(ref string) v1.Image {
	r.t.Helper()
	image, err := remote.Image(r.reference(ref), r.options()...)
	if err != nil {
		r.t.Fatal(err)
	}
	return image
}

// checkSigned looks for the signature where cosign does, and verifies it as Sigstore does.
func (r registered) checkSigned(public, repository, digest string) {
	r.t.Helper()
	signature := r.image(repository + ":" + strings.Replace(digest, ":", "-", 1) + ".sig")
	manifest, err := signature.Manifest()
	if err != nil || len(manifest.Layers) != 1 {
		r.t.Fatalf("the signature has %d layers (%v), want one", len(manifest.Layers), err)
	}
	layers, err := signature.Layers()
	if err != nil {
		r.t.Fatal(err)
	}
	content, err := layers[0].Compressed()
	if err != nil {
		r.t.Fatal(err)
	}
	payload, err := io.ReadAll(content)
	if err != nil {
		r.t.Fatal(err)
	}
	signed, err := base64.StdEncoding.DecodeString(
		manifest.Layers[0].Annotations["dev.cosignproject.cosign/signature"])
	if err != nil {
		r.t.Fatal(err)
	}
	verify(r.t, public, payload, signed)
	want := `{"critical":{"identity":{"docker-reference":"` + r.host + "/" + repository +
		`"},"image":{"docker-manifest-digest":"` + digest +
		`"},"type":"cosign container image signature"},"optional":null}`
	if string(payload) != want {
		r.t.Errorf("signed is\n%s\nwant\n%s", payload, want)
	}
}

// helm is the real one (test/charttools), which trusts an authority.
type helm struct {
	t         *testing.T
	env       []string
	authority string
}

func (h helm) run(args ...string) string {
	h.t.Helper()
	where := exec.CommandContext(h.t.Context(), "go", "-C", "..", "run", "./test/cmd/sandbox", "path",
		"helm")
	path, err := where.Output()
	if err != nil {
		h.t.Fatalf("find helm (make charttools): %v", err)
	}
	home := h.t.TempDir()
	c := exec.CommandContext(h.t.Context(), strings.TrimSpace(string(path)),
		append(args, "--ca-file", h.authority)...)
	c.Env = append(os.Environ(), append(h.env, "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home,
		"HELM_DATA_HOME="+home)...)
	var said, problems bytes.Buffer
	c.Stdout, c.Stderr = &said, &problems
	if err := c.Run(); err != nil {
		h.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, &problems)
	}
	return said.String()
}

func digestOf(t *testing.T, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}
