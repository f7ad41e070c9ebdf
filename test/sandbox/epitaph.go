package sandbox

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/registration"
	"github.com/epitaph-k8s/epitaph/webhook"
)

const (
	// epitaphNamespace and epitaphAccount are who Epitaph is (charts/epitaph/files/rbac.yaml).
	epitaphNamespace = "epitaph-system"
	epitaphAccount   = "epitaph-manager"
	// tokenSeconds is how long its token lasts: longer than any sandbox.
	tokenSeconds = 7 * 24 * 60 * 60
	// registrationLag is how long after its creation the API server may still not ask the webhook:
	// it learns of it from a watch, and nothing tells when it has.
	registrationLag = 250 * time.Millisecond
)

// EpitaphOptions say how Epitaph runs.
type EpitaphOptions struct {
	// LeaveOut starts a cluster without it.
	LeaveOut bool
	// Netconsole is the UDP address "host:port" to listen on; a free port of 127.0.0.1 where it is
	// empty.
	Netconsole string
	// Configure changes the configuration before it is written: the defaults, with addresses of
	// this sandbox.
	Configure func(*config.Config)
}

// Epitaph is one replica of `epitaph manager`: a child process that authenticates as its service
// account, with exactly the rights of charts/epitaph/files/rbac.yaml.
type Epitaph struct {
	// Config is what it was started with; its netconsole address can be sent to.
	Config config.Config
	// MetricsURL is where it shows its metrics: to [Epitaph.Metrics], among others.
	MetricsURL string
	// LogPath is the file with its log, over all its restarts.
	LogPath string

	sandbox *Sandbox
	name    string
	process *Process
}

// startEpitaph starts the first replica, and has the API server ask it.
func (s *Sandbox) startEpitaph(ctx context.Context) error {
	if s.options.Epitaph.LeaveOut {
		return nil
	}
	if err := s.writeEpitaphIdentity(ctx); err != nil {
		return err
	}
	first, err := s.prepareEpitaph(s.options.Epitaph)
	if err != nil {
		return err
	}
	s.Epitaph = first
	if err := s.prepareReader(ctx); err != nil {
		return err
	}
	if err := s.GrantReports(ctx, first.Config.Audit.Reports); err != nil {
		return err
	}
	// Before it starts: it is ready only when the API server would accept its certificate.
	if first.Config.Webhook.Enabled {
		if err := s.register(ctx, first); err != nil {
			return err
		}
	}
	return first.Start(ctx)
}

// AddEpitaph starts another replica. It listens on ports of its own; the API server goes on asking
// the first one.
func (s *Sandbox) AddEpitaph(ctx context.Context, options EpitaphOptions) (*Epitaph, error) {
	e, err := s.prepareEpitaph(options)
	if err != nil {
		return nil, err
	}
	return e, e.Start(ctx)
}

// prepareEpitaph gives a replica its name, its ports and its files.
func (s *Sandbox) prepareEpitaph(options EpitaphOptions) (*Epitaph, error) {
	s.mu.Lock()
	s.replicas++
	name := "epitaph"
	if s.replicas > 1 {
		name += "-" + strconv.Itoa(s.replicas)
	}
	s.mu.Unlock()
	c, err := s.epitaphConfig(name, options)
	if err != nil {
		return nil, err
	}
	e := &Epitaph{
		Config: c, MetricsURL: metricsURL(c.Metrics),
		LogPath: filepath.Join(s.Logs, name+".log"),
		sandbox: s, name: name,
	}
	if err := e.writeFiles(); err != nil {
		return nil, err
	}
	return e, nil
}

// Start starts the replica, again after Stop or Kill, and returns when it is ready.
func (e *Epitaph) Start(ctx context.Context) error {
	if e.Running() {
		return fmt.Errorf("start %s: it runs", e.name)
	}
	s := e.sandbox
	p, err := s.adopt(s.nursery.launch(e.name, s.path("bin", "epitaph"), s.Logs,
		"manager", "--config", e.path("config.yaml"), "--kubeconfig",
		s.path("kubeconfigs", epitaphAccount)))
	if err != nil {
		return err
	}
	e.process = p
	return p.ready(ctx, startLimit, s.answers("http://"+e.Config.HealthAddress+"/readyz"))
}

// Reconfigure replaces the configuration file of the replica, which goes on running: by what it was
// started with, changed. The file is replaced as a whole, as a kubelet does it.
func (e *Epitaph) Reconfigure(change func(*config.Config)) error {
	c := e.Config
	change(&c)
	file, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the configuration of %s: %w", e.name, err)
	}
	if err := os.WriteFile(e.path("config.yaml.new"), file, 0o644); err != nil {
		return fmt.Errorf("write the configuration of %s: %w", e.name, err)
	}
	if err := os.Rename(e.path("config.yaml.new"), e.path("config.yaml")); err != nil {
		return fmt.Errorf("replace the configuration of %s: %w", e.name, err)
	}
	return nil
}

// Stop lets the replica end as at a rollout (SIGTERM).
func (e *Epitaph) Stop() { e.process.Stop() }

// Kill ends it as a crash does (SIGKILL).
func (e *Epitaph) Kill() { e.process.Kill() }

// Running tells whether it was started and has not ended.
func (e *Epitaph) Running() bool { return e.process != nil && e.process.Running() }

// Logs is all it has logged so far.
func (e *Epitaph) Logs() (string, error) {
	log, err := os.ReadFile(e.LogPath)
	if err != nil {
		return "", fmt.Errorf("read the log of %s: %w", e.name, err)
	}
	return string(log), nil
}

func (e *Epitaph) path(elements ...string) string {
	return e.sandbox.path(append([]string{"epitaph", e.name}, elements...)...)
}

// epitaphConfig is the default configuration at addresses of this sandbox.
func (s *Sandbox) epitaphConfig(name string, options EpitaphOptions) (config.Config, error) {
	netconsole, err := udpAddress(options.Netconsole)
	if err != nil {
		return config.Config{}, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return config.Config{}, err
	}
	c := config.Default()
	c.Namespace = epitaphNamespace
	c.Webhook.Address, c.Webhook.CertDir = hostPort(loopback, ports[0]),
		s.path("epitaph", name, "tls")
	c.Metrics.Address, c.Metrics.CertDir = hostPort(loopback, ports[1]), c.Webhook.CertDir
	c.HealthAddress = hostPort(loopback, ports[2])
	c.Netconsole.Address = netconsole
	c.Page.Address, c.Page.CertDir = hostPort(loopback, ports[3]), c.Webhook.CertDir
	if options.Configure != nil {
		options.Configure(&c)
	}
	return c, nil
}

// writeFiles writes the replica's configuration, its serving certificate, and whom it may want to
// see as its client.
func (e *Epitaph) writeFiles() error {
	if err := os.MkdirAll(e.Config.Webhook.CertDir, 0o700); err != nil {
		return fmt.Errorf("make the folder of %s: %w", e.name, err)
	}
	file, err := yaml.Marshal(e.Config)
	if err != nil {
		return fmt.Errorf("encode the configuration of %s: %w", e.name, err)
	}
	if err := os.MkdirAll(e.path(), 0o700); err != nil {
		return fmt.Errorf("make the folder of %s: %w", e.name, err)
	}
	if err := os.WriteFile(e.path("config.yaml"), file, 0o644); err != nil {
		return fmt.Errorf("write the configuration of %s: %w", e.name, err)
	}
	certificate, err := e.sandbox.authority.server(e.name, net.IP(loopback.AsSlice()))
	if err != nil {
		return err
	}
	clients, err := os.ReadFile(e.sandbox.ClientAuthority())
	if err != nil {
		return fmt.Errorf("read the authority of the API server's identity: %w", err)
	}
	if err := os.WriteFile(filepath.Join(e.Config.Webhook.CertDir, ClientCA), clients,
		0o644); err != nil {
		return fmt.Errorf("write the clients' authority of %s: %w", e.name, err)
	}
	return certificate.write(e.Config.Webhook.CertDir, "tls")
}

// writeEpitaphIdentity asks for a token of the service account and makes a kubeconfig of it.
func (s *Sandbox) writeEpitaphIdentity(ctx context.Context) error {
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenSeconds))}}
	token, err := s.client.CoreV1().ServiceAccounts(epitaphNamespace).CreateToken(ctx,
		epitaphAccount, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("ask for a token of %s/%s: %w", epitaphNamespace, epitaphAccount, err)
	}
	return s.writeKubeconfig(s.path("kubeconfigs", epitaphAccount),
		&clientcmdapi.AuthInfo{Token: token.Status.Token})
}

// register makes the webhook configuration that the chart has for this configuration.
func (s *Sandbox) register(ctx context.Context, e *Epitaph) error {
	at := admissionregistrationv1.WebhookClientConfig{
		URL:      ptr.To("https://" + e.Config.Webhook.Address + webhook.Path),
		CABundle: s.authority.pem,
	}
	rendered, err := registration.Of(e.Config, at)
	if err != nil {
		return err
	}
	_, err = s.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx,
		rendered, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("register the webhook: %w", err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(registrationLag):
		return nil
	}
}

// EpitaphProgram is the program that the sandbox has built, unless it was left out.
func (s *Sandbox) EpitaphProgram() string { return s.path("bin", "epitaph") }

func (s *Sandbox) buildEpitaph(ctx context.Context) error {
	program := s.path("bin", "epitaph")
	if _, err := os.Stat(program); err == nil || s.options.Epitaph.LeaveOut {
		return nil // Built before the sandbox was cleared, or not wanted.
	}
	return binaries.Product(ctx, s.options.Out, "epitaph", program)
}
