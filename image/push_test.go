package main

import (
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

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
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

// The program pushes what it has built to a registry with TLS that asks for a login; what is pulled
// from there is what the archive holds.
func TestPush(t *testing.T) {
	program := filepath.Join(t.TempDir(), "image")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program,
		".").CombinedOutput(); err != nil {
		t.Fatalf("%s (%v)", out, err)
	}
	server, host, authority := guarded(t)
	checkout, out := twoPrograms(t), t.TempDir()
	run := func(to, dockerConfig string) (string, error) {
		c := exec.CommandContext(t.Context(), program, "--checkout", checkout, "--out", out,
			"--version", testVersion, "--push", to)
		c.Env = append(os.Environ(), "DOCKER_CONFIG="+dockerConfig, "SSL_CERT_FILE="+authority)
		said, err := c.CombinedOutput()
		return string(said), err
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
	said, err := run(host+"/team", login(t, host, password))
	if err != nil {
		t.Fatalf("%s (%v)", said, err)
	}
	ref, err := name.NewTag(host + "/team/epitaph:" + testVersion)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Index(ref, remote.WithTransport(server.Client().Transport),
		remote.WithAuth(&authn.Basic{Username: user, Password: password}))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(pulled); err != nil {
		t.Errorf("what was pulled is no valid image: %v", err)
	}
	if there, here := digestOf(t, pulled), digestOf(t,
		read(t, filepath.Join(out, "epitaph.oci.tar"))); there != here {
		t.Errorf("%s was pulled, and the archive holds %s", there, here)
	}
	manifest, err := pulled.IndexManifest()
	if err != nil || len(manifest.Manifests) != len(platforms) {
		t.Errorf("%d platforms were pushed (%v), want %d", len(manifest.Manifests), err,
			len(platforms))
	}
	for _, want := range []string{"image.repository=" + host + "/team/epitaph",
		"image.digest=" + digestOf(t, pulled)} {
		if !strings.Contains(said, want) {
			t.Errorf("the program says\n%s\nwhich does not tell Helm %s", said, want)
		}
	}
}

func digestOf(t *testing.T, index v1.ImageIndex) string {
	t.Helper()
	d, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}
