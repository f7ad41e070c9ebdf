package e2e

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/doctor"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// healthy names what must be well in every cluster of these tests, in the order of the report.
var healthy = []string{"API server", "Kubernetes", "your clock", "CRD PodObituary", "CRD NodeObituary",
	"CRD OwnerObituary", "fields of the CRDs", "webhook configuration", "webhook caBundle",
	"webhook certificate", "webhook answers", "rights over owners", "leader", "recorder",
	"clocks of the nodes"}

func TestPluginDoctor(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: quick}})
	var got said
	c.eventually(t, "the webhook is asked", func(context.Context) (bool, error) {
		got = c.plugin(t, "doctor")
		return got.code == 0, nil
	})
	for _, what := range healthy {
		if !strings.Contains(got.out, "ok      "+what) {
			t.Errorf("%s is not well:\n%s", what, got.out)
		}
	}
	if want :=
		"unseen  built-in pod GC        no pod shows kube-controller-manager's flags"; !strings.Contains(got.out, want) {
		t.Errorf("it does not say that flags which no pod shows cannot be seen:\n%s", got.out)
	}

	if want :=
		"look    webhook callers        anybody who reaches its port is believed, not the API server alone."; !strings.Contains(got.out, want) {
		t.Errorf("it does not say that the webhook hears everybody:\n%s", got.out)
	}

	c.kcmPod(t, "--controllers=*")
	if got = c.plugin(t, "doctor"); got.code != 0 ||
		!strings.Contains(got.out,
			"look    built-in pod GC        is on (pod kube-controller-manager-x)") {
		t.Errorf("with the built-in pod GC on, it said %+v", got)
	}

	got = c.plugin(t, "doctor", "--as", "mallory")
	if got.code != 0 || strings.Count(got.out, "\nunseen  ") < 10 ||
		strings.Contains(got.out, "BROKEN") {
		t.Errorf("to somebody without rights, it said %+v, want that he cannot see it", got)
	}

	c.Epitaph.Stop()
	got = c.plugin(t, "doctor")
	if !strings.Contains(got.out,
		"Until it does, what is deleted leaves without a reason of Epitaph's.") {
		t.Errorf("with the webhook away, it does not say what follows:\n%s", got.out)
	}
	if got.code != 1 || !strings.Contains(got.out,
		"BROKEN  webhook answers        no: the API server let a pod pass") || !strings.Contains(
		got.err, "error: something is broken: see above") {
		t.Errorf("with the webhook away, it said %+v", got)
	}
	if err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(),
		"epitaph", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got = c.plugin(t, "doctor"); got.code != 1 ||
		!strings.Contains(got.out, "BROKEN  webhook configuration  there is none") {
		t.Errorf("without a configuration, it said %+v", got)
	}
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "epitaph-config"},
		Data: map[string]string{"config.yaml": "webhook: {enabled: false}"}}
	if _, err := c.client.CoreV1().ConfigMaps(ourNamespace).Create(t.Context(), config,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	want :=
		"look    webhook configuration  there is none, as webhook.enabled says (false): the API server does not call Epitaph when something is deleted\n"
	if got = c.plugin(t, "doctor"); !strings.Contains(got.out, want) ||
		strings.Contains(got.out, "webhook answers") {
		t.Errorf("with the webhook switched off, it said %+v", got)
	}
}

// Whoever has a client can examine an installation, without the command line.
func TestDoctorWithoutTheCommandLine(t *testing.T) {
	t.Parallel()
	config, scheme := shared.RESTConfig(), runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme),
		v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	o := doctor.Options{Client: reader, Config: config,
		Namespace: "default", SystemNamespace: ourNamespace, Clock: clock.RealClock{}}
	var all []doctor.Diagnosis
	shared.eventually(t, "the webhook answers", func(ctx context.Context) (bool, error) {
		all = doctor.Run(ctx, o)
		return slices.Contains(all, doctor.Diagnosis{Health: doctor.Well,
			What: "webhook answers", Found: "yes: the API server reaches it and trusts it"}), nil
	})
	for n, want := range healthy[:6] {
		if all[n].Health != doctor.Well || all[n].What != want {
			t.Errorf("examination %d found %+v, want that %s is well", n, all[n], want)
		}
	}
}

// kcmPod makes the pod that kubeadm would have made of kube-controller-manager.
func (c *cluster) kcmPod(t *testing.T, flag string) {
	t.Helper()
	p := podSpec("kube-system", "nowhere", "kube-controller-manager-x", func(p *corev1.Pod) {
		p.Labels = map[string]string{"component": "kube-controller-manager"}
		p.Spec.Containers[0].Command = []string{"kube-controller-manager", flag}
	})
	c.eventually(t, "kube-system takes pods", func(ctx context.Context) (bool, error) {
		_, err := c.client.CoreV1().Pods("kube-system").Create(ctx, p, metav1.CreateOptions{})
		return err == nil, nil
	})
}
