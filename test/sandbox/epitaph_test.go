package sandbox_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

func TestEpitaphRunsBesideTheCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: etcd and kube-apiserver are missing, which " +
			"make test-controlplane builds")
	}
	t.Parallel()
	s, err := sandbox.Start(t.Context(), sandbox.Options{
		Dir: t.TempDir(), Out: t.Output(), Nodes: []sandbox.NodeSpec{{Name: "only", CPU: "16"}},
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			c.Webhook.Mode = config.AuditMode
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	client := kubernetes.NewForConfigOrDie(s.RESTConfig())

	if mode := s.Epitaph.Config.Webhook.Mode; mode != config.AuditMode {
		t.Errorf("mode = %s, want the one that Configure set", mode)
	}
	answers(t, s.Epitaph)
	if _, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(),
		"epitaph", metav1.GetOptions{}); err != nil {
		t.Errorf("the webhook is not registered: %v", err)
	}

	crashed := s.Processes()[len(s.Processes())-1]
	s.Epitaph.Kill()
	if err := syscall.Kill(crashed.PID(), 0); s.Epitaph.Running() ||
		!errors.Is(err, syscall.ESRCH) {
		t.Errorf("it runs after Kill: %v", err)
	}
	if err := s.Epitaph.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	log, err := s.Epitaph.Logs()
	if err != nil || strings.Count(log, "epitaph manager --config ") != 2 {
		t.Errorf("the log does not hold both lives (%v):\n%s", err, log)
	}

	second, err := s.AddEpitaph(t.Context(), sandbox.EpitaphOptions{
		Configure: func(c *config.Config) { c.Metrics.Secure = false },
	})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, second)
	if !strings.HasPrefix(second.MetricsURL, "http://") {
		t.Errorf("the second's metrics are at %s, want them to be plain", second.MetricsURL)
	}
	if a, b := s.Epitaph.Config.Netconsole.Address, second.Config.Netconsole.Address; a == b {
		t.Errorf("both replicas listen for datagrams at %s", a)
	}
}

func answers(t *testing.T, e *sandbox.Epitaph) {
	t.Helper()
	if all, err := e.Metrics(t.Context()); err != nil || len(all) == 0 {
		t.Errorf("%d metrics are read: %v", len(all), err)
	}
}
