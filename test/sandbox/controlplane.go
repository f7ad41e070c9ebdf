package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed" // for the audit policy
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	probeInterval = 50 * time.Millisecond
	// startLimit bounds each step of the start. On an idle machine the slowest takes 4 s; a busy one
	// was seen to need more than a minute.
	startLimit = 3 * time.Minute
)

// serving are the names of the certificate that all of the control plane's servers show.
const serving = "serving"

// startAPIServer starts etcd and kube-apiserver side by side: the latter takes longer to get to its
// first question than etcd to its first answer.
func (s *Sandbox) startAPIServer(ctx context.Context) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	s.server = "https://" + hostPort(loopback, ports[2])
	if err := s.connect(); err != nil {
		return err
	}
	etcdURL := "http://" + hostPort(loopback, ports[0])
	s.etcd = etcd(etcdURL)
	store, err := s.launch("etcd",
		"--data-dir="+s.path("etcd"),
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls=http://"+hostPort(loopback, ports[1]),
		// Nothing here is meant to survive a power cut.
		"--unsafe-no-fsync=true", "--log-level=warn")
	if err != nil {
		return err
	}
	apiServer, err := s.launch("kube-apiserver", s.apiServerFlags(etcdURL, ports[2])...)
	if err != nil {
		return err
	}
	if err := store.ready(ctx, startLimit, s.answers(etcdURL+"/health")); err != nil {
		return err
	}
	return apiServer.ready(ctx, startLimit, s.answersAdmin("/readyz"))
}

// RestartAPIServer kills kube-apiserver and starts it again on the same port: requests fail
// meanwhile, and every watch breaks.
func (s *Sandbox) RestartAPIServer(ctx context.Context) error {
	s.mu.Lock()
	i := slices.IndexFunc(s.processes, func(p *Process) bool { return p.Name == "kube-apiserver" })
	if i < 0 {
		s.mu.Unlock()
		return errors.New("restart the API server: it was never started")
	}
	old := s.processes[i]
	old.Kill()
	started, err := s.nursery.launch(old.Name, s.Programs[old.Name], s.Logs, old.cmd.Args[1:]...)
	if err == nil {
		s.processes[i] = started // in its place: Stop ends the servers last
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return started.ready(ctx, startLimit, s.answersAdmin("/readyz"))
}

func (s *Sandbox) apiServerFlags(etcdURL string, port int) []string {
	return append(append(s.servingFlags(port), s.issuerFlags()...), "--etcd-servers="+etcdURL,
		"--client-ca-file="+s.path("pki", "ca.crt"),
		"--authorization-mode=Node,RBAC",
		// NodeRestriction is not on by default, and is in every real cluster.
		"--enable-admission-plugins=NodeRestriction",
		"--admission-control-config-file="+s.path("admission.yaml"),
		"--allow-privileged=true",
		"--audit-policy-file="+s.path("audit-policy.yaml"), "--audit-log-path="+s.AuditLog(),
		"--audit-log-maxsize=10000", // MB: it is read as a whole
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file="+s.path("pki", "sa.key"),
		"--service-account-key-file="+s.path("pki", "sa.pub"),
		"--service-cluster-ip-range=10.96.0.0/16",
		// A webhook's Service is asked at its endpoints: nothing here plays kube-proxy.
		"--enable-aggregator-routing=true",
		// It must not be loopback; nobody dials it, since the Service "kubernetes" gets no
		// endpoints.
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
		// For logs: nothing here resolves a node's name.
		"--kubelet-preferred-address-types=InternalIP",
	)
}

// startControllers starts everything that talks to the API server, and waits for each to be of use.
func (s *Sandbox) startControllers(ctx context.Context) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	controllers, err := s.launch("kube-controller-manager", s.controllerManagerFlags(ports[0])...)
	if err != nil {
		return err
	}
	scheduler, err := s.launch("kube-scheduler",
		append(s.clientFlags("kube-scheduler", ports[1]), fastClient...)...)
	if err != nil {
		return err
	}
	cloud, err := s.launch("cloud-controller-manager", s.cloudFlags(ports[2])...)
	if err != nil {
		return err
	}
	if err := controllers.ready(ctx, startLimit, s.defaultServiceAccount); err != nil {
		return err
	}
	for port, p := range map[int]*Process{ports[1]: scheduler, ports[2]: cloud} {
		if err := p.ready(ctx, startLimit,
			s.answers("https://"+hostPort(loopback, port)+"/healthz")); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sandbox) controllerManagerFlags(port int) []string {
	enabled := "*,-pod-garbage-collector-controller"
	if s.options.BuiltInPodGC {
		enabled = "*"
	}
	flags := append(s.clientFlags("kube-controller-manager", port),
		"--controllers="+enabled,
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+s.path("pki", "sa.key"),
		"--root-ca-file="+s.path("pki", "ca.crt"),
		// A silent node is Unknown after ten missed renewals of a second each, and tainted at once;
		// a real cluster takes fifty seconds and taints one node every ten. With four, nodes of a
		// busy machine that had not died were taken for dead.
		"--node-monitor-period=500ms", "--node-monitor-grace-period="+s.monitorGrace().String(),
		"--node-startup-grace-period=30s",
		"--node-eviction-rate=10", "--secondary-node-eviction-rate=10",
	)
	return append(flags, fastClient...)
}

// monitorGrace is how long a node may be silent: ours renew each second, a real kubelet every two
// at the most often.
func (s *Sandbox) monitorGrace() time.Duration {
	if s.options.RealNodes {
		return 20 * time.Second
	}
	return 10 * time.Second
}

func (s *Sandbox) cloudFlags(port int) []string {
	return append(s.clientFlags("cloud-controller-manager", port),
		"--cloud-provider=folder", "--cloud-config="+s.path("cloud.json"),
		"--controllers=cloud-node-lifecycle-controller", "--node-monitor-period=1s",
		// Its Node deletions are then system:serviceaccount:kube-system:node-controller's, as on
		// the big clouds.
		"--use-service-account-credentials=true",
		"--webhook-secure-port=0", "--configure-cloud-routes=false")
}

// fastClient lifts the client's limit of 20 requests a second, which alone would delay the first
// ServiceAccount by 5 s.
var fastClient = []string{"--kube-api-qps=500", "--kube-api-burst=1000"}

func (s *Sandbox) clientFlags(user string, port int) []string {
	return append(s.servingFlags(port), "--kubeconfig="+s.path("kubeconfigs", user),
		"--leader-elect=false")
}

func (s *Sandbox) servingFlags(port int) []string {
	return []string{
		"--bind-address=" + loopback.String(), "--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + s.path("pki", serving+".crt"),
		"--tls-private-key-file=" + s.path("pki", serving+".key"),
	}
}

// defaultServiceAccount is there when kube-controller-manager works; no pod is admitted before.
func (s *Sandbox) defaultServiceAccount(ctx context.Context) error {
	_, err := s.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx,
		"default", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errors.New("the namespace default has no ServiceAccount yet")
	}
	return err
}

// answers probes a URL for a status of 200.
func (s *Sandbox) answers(url string) func(context.Context) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.authority.pem)
	client := &http.Client{
		Timeout: time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
			MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
	}
	return func(ctx context.Context) error { return get(ctx, client, url) }
}

func (s *Sandbox) answersAdmin(path string) func(context.Context) error {
	return func(ctx context.Context) error {
		return s.client.Discovery().RESTClient().Get().AbsPath(path).Do(ctx).Error()
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return fmt.Errorf("%s answers %s: %s", url, response.Status, said)
	}
	return nil
}

// writeSecrets lays out what the API server needs before anybody can talk to it.
func (s *Sandbox) writeSecrets() error {
	if err := os.MkdirAll(s.path("pki"), 0o700); err != nil {
		return fmt.Errorf("make the folder of keys: %w", err)
	}
	if err := os.WriteFile(s.path("audit-policy.yaml"), auditPolicy, 0o644); err != nil {
		return fmt.Errorf("write the audit policy: %w", err)
	}
	if err := os.WriteFile(s.path("pki", "ca.crt"), s.authority.pem, 0o644); err != nil {
		return fmt.Errorf("write the authority's certificate: %w", err)
	}
	if err := writeSigningKey(s.path("pki"), "sa"); err != nil {
		return err
	}
	server, err := s.authority.server("kube-apiserver", loopback.AsSlice(),
		serviceAddress.Addr().AsSlice())
	if err != nil {
		return err
	}
	return server.write(s.path("pki"), serving)
}

// AuditLog is the file in which the API server says who changed which pod or node: one
// audit.k8s.io/v1 Event a line. After Clear it still has what was before: see [Sandbox.Audited].
func (s *Sandbox) AuditLog() string { return filepath.Join(s.Logs, "audit.log") }

// Audited opens the audit log where the last Clear left it, if there was one.
func (s *Sandbox) Audited() (io.ReadCloser, error) {
	log, err := os.Open(s.AuditLog())
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	if _, err := log.Seek(s.auditFrom, io.SeekStart); err != nil {
		log.Close()
		return nil, fmt.Errorf("find the place in the audit log: %w", err)
	}
	return log, nil
}

//go:embed audit-policy.yaml
var auditPolicy []byte

func (s *Sandbox) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}
