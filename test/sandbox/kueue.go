package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// A queueProgram is a controller with webhooks of its own that is installed as its project does it,
// but for addresses: its webhooks are asked at a port of this machine.
type queueProgram struct {
	// name is that of the program, and what its project puts before the names of what it installs.
	name  string
	group binaries.Group
	// module has its definitions and webhooks below config/components.
	module string
	// converted are the kinds whose versions it converts.
	converted []string
	// authority is what its certificates are signed by, as it wants it called.
	authority string
	// args are those of the program, for its configuration.
	args func(config string) []string
	// config is its configuration, in JSON.
	config func(webhook map[string]any) map[string]any
}

// StartKueue installs Kueue and JobSet, their definitions and webhooks, and starts their
// controllers as processes that Stop ends. Each has a service account of its own, as an
// administrator: their rights are not what is tested here. podsReady is how long Kueue waits for
// the pods of a job that it has admitted.
func (s *Sandbox) StartKueue(ctx context.Context, podsReady time.Duration) error {
	for _, p := range []queueProgram{jobSet(), kueue(podsReady)} {
		if err := s.startQueueProgram(ctx, p); err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
	}
	return nil
}

func kueue(podsReady time.Duration) queueProgram {
	return queueProgram{
		name: "kueue", group: binaries.Kueue, module: "sigs.k8s.io/kueue", authority: "kueue-ca",
		converted: []string{"localqueues", "clusterqueues", "cohorts", "workloads",
			"multikueueclusters"},
		args: func(config string) []string { return []string{"--config=" + config} },
		config: func(webhook map[string]any) map[string]any {
			return map[string]any{
				"apiVersion": "config.kueue.x-k8s.io/v1beta2", "kind": "Configuration",
				"health":                 map[string]any{"healthProbeBindAddress": "0"},
				"metrics":                map[string]any{"bindAddress": "0"},
				"webhook":                webhook,
				"leaderElection":         map[string]any{"leaderElect": false},
				"internalCertManagement": map[string]any{"enable": true},
				// Where a node fails, its failure is what the tests are about.
				"waitForPodsReady": map[string]any{"timeout": podsReady.String(),
					"recoveryTimeout": "0s", "blockAdmission": false},
				"integrations": map[string]any{"frameworks": []string{"batch/job", "pod",
					"jobset.x-k8s.io/jobset"}},
				"featureGates": map[string]any{"VisibilityOnDemand": false},
			}
		},
	}
}

func jobSet() queueProgram {
	return queueProgram{
		name: "jobset", group: binaries.JobSet, module: "sigs.k8s.io/jobset",
		authority: "jobset-ca",
		args: func(config string) []string {
			return []string{"--config=" + config, "--metrics-bind-address=0",
				"--health-probe-bind-address=0"}
		},
		config: func(webhook map[string]any) map[string]any {
			return map[string]any{
				"apiVersion": "config.jobset.x-k8s.io/v1alpha1", "kind": "Configuration",
				"webhook":                webhook,
				"leaderElection":         map[string]any{"leaderElect": false},
				"internalCertManagement": map[string]any{"enable": false},
			}
		},
	}
}

func (s *Sandbox) startQueueProgram(ctx context.Context, p queueProgram) error {
	paths, err := binaries.Ensure(ctx, s.options.Out, p.group)
	if err != nil {
		return err
	}
	module, err := binaries.Module(ctx, p.group, p.module)
	if err != nil {
		return err
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	certs, err := makeCertificates(p)
	if err != nil {
		return err
	}
	dir := s.path(p.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make its folder: %w", err)
	}
	for name, content := range certs.files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("write its certificates: %w", err)
		}
	}
	config, err := json.Marshal(p.config(map[string]any{"host": loopback.String(),
		"port": ports[0], "certDir": dir}))
	if err != nil {
		return fmt.Errorf("encode its configuration: %w", err)
	}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		return fmt.Errorf("write its configuration: %w", err)
	}
	address := hostPort(loopback, ports[0])
	if err := s.installQueueProgram(ctx, p, filepath.Join(module, "config", "components"),
		address, certs); err != nil {
		return err
	}
	// By this name the project's own installation goes, in a namespace of its own.
	kubeconfig, err := s.serviceAccount(ctx, p.name+"-controller-manager", "cluster-admin")
	if err != nil {
		return err
	}
	args := append([]string{"KUBECONFIG=" + kubeconfig, paths[p.name]}, p.args(file)...)
	process, err := s.Launch(p.name, "/usr/bin/env", args...)
	if err != nil {
		return err
	}
	return process.ready(ctx, startLimit, func(ctx context.Context) error {
		conn, err := (&tls.Dialer{Config: certs.trusted}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// queueCertificates are files by name, and what trusts them.
type queueCertificates struct {
	files   map[string][]byte
	trusted *tls.Config
}

// queueCertificateLife is longer than Kueue looks ahead: it replaces what runs out within 90 days.
const queueCertificateLife = 365 * 24 * time.Hour

// makeCertificates makes what the program would make itself for a Service, and for the address at
// which it is asked here.
func makeCertificates(p queueProgram) (queueCertificates, error) {
	now := time.Now()
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()),
			Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(queueCertificateLife),
			KeyUsage: x509.KeyUsageDigitalSignature}
	}
	// Kueue reads the key of its authority as one of RSA in PKCS #1.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return queueCertificates{}, fmt.Errorf("make the authority's key: %w", err)
	}
	ca := template(p.authority)
	ca.IsCA, ca.BasicConstraintsValid = true, true
	ca.KeyUsage |= x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return queueCertificates{}, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	server := template(p.service() + "." + p.namespace() + ".svc")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.IPAddresses = []net.IP{loopback.AsSlice()}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, ca, key.Public(), key)
	if err != nil {
		return queueCertificates{}, fmt.Errorf("sign the server's certificate: %w", err)
	}
	caPEM := encode("CERTIFICATE", caDER)
	keyPEM := encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	return queueCertificates{
		files: map[string][]byte{"ca.crt": caPEM, "ca.key": keyPEM,
			"tls.crt": encode("CERTIFICATE", serverDER), "tls.key": keyPEM},
		trusted: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}, nil
}

func (p queueProgram) namespace() string { return p.name + "-system" }

func (p queueProgram) service() string { return p.name + "-webhook-service" }

// installQueueProgram installs what the folder of a project's components holds: its definitions
// and webhooks, and the Secret in which it finds its certificates.
func (s *Sandbox) installQueueProgram(ctx context.Context, p queueProgram, components,
	address string, certs queueCertificates) error {
	caller := map[string]any{"caBundle": base64.StdEncoding.EncodeToString(certs.files["ca.crt"])}
	at := func(path string) map[string]any {
		caller := maps.Clone(caller)
		caller["url"] = "https://" + address + path
		return caller
	}
	files, err := filepath.Glob(filepath.Join(components, "crd", "bases", "*.yaml"))
	if err != nil {
		return fmt.Errorf("list its definitions: %w", err)
	}
	definitions := filepath.Join(s.path(p.name), "definitions")
	if err := os.MkdirAll(definitions, 0o755); err != nil {
		return fmt.Errorf("make a folder for its definitions: %w", err)
	}
	for _, file := range files {
		// As the project's own patches have it.
		var converter map[string]any
		if base := filepath.Base(file); slices.ContainsFunc(p.converted,
			func(plural string) bool { return strings.HasSuffix(base, "_"+plural+".yaml") }) {
			converter = at("/convert")
		}
		if err := definitionAt(file, definitions, converter); err != nil {
			return err
		}
	}
	if err := s.define(definitions); err != nil {
		return fmt.Errorf("install its definitions: %w", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace()}}
	if _, err := s.client.CoreV1().Namespaces().Create(ctx, namespace,
		metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create its namespace: %w", err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: p.name + "-webhook-server-cert"}, Data: certs.files}
	if _, err := s.client.CoreV1().Secrets(p.namespace()).Create(ctx, secret,
		metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the Secret of its certificates: %w", err)
	}
	content, err := os.ReadFile(filepath.Join(components, "webhook", "manifests.yaml"))
	if err != nil {
		return fmt.Errorf("read its webhooks: %w", err)
	}
	webhooks, err := decodeObjects(content)
	if err != nil {
		return err
	}
	writer, err := client.New(s.RESTConfig(), client.Options{})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	for _, configuration := range webhooks {
		configuration.SetName(p.name + "-" + configuration.GetName())
		all, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
		if err != nil {
			return fmt.Errorf("read its webhooks: %w", err)
		}
		for _, one := range all {
			webhook := one.(map[string]any)
			path, _, _ := unstructured.NestedString(webhook, "clientConfig", "service", "path")
			webhook["clientConfig"] = at(path)
			// As the project's own patch has it.
			if name, _ := webhook["name"].(string); p.name == "jobset" &&
				strings.HasSuffix(name, "pod.kb.io") {
				webhook["objectSelector"] = map[string]any{"matchExpressions": []any{map[string]any{
					"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}}}
			}
		}
		if err := unstructured.SetNestedSlice(configuration.Object, all, "webhooks"); err != nil {
			return fmt.Errorf("write its webhooks: %w", err)
		}
		if err := writer.Create(ctx, configuration); err != nil {
			return fmt.Errorf("create its webhooks: %w", err)
		}
	}
	return nil
}

// definitionAt writes a definition into a folder, with who converts its versions.
func definitionAt(file, dir string, converter map[string]any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read a definition: %w", err)
	}
	objects, err := decodeObjects(content)
	if err != nil {
		return err
	}
	for _, definition := range objects {
		if converter != nil {
			if err := unstructured.SetNestedMap(definition.Object, map[string]any{
				"strategy": "Webhook",
				"webhook": map[string]any{"clientConfig": converter,
					"conversionReviewVersions": []any{"v1"}},
			}, "spec", "conversion"); err != nil {
				return fmt.Errorf("change the definition %s: %w", definition.GetName(), err)
			}
		}
		content, err := definition.MarshalJSON()
		if err != nil {
			return fmt.Errorf("encode the definition %s: %w", definition.GetName(), err)
		}
		if err := os.WriteFile(filepath.Join(dir, definition.GetName()+".json"), content,
			0o644); err != nil {
			return fmt.Errorf("write a definition: %w", err)
		}
	}
	return nil
}
