//go:build linux

package chart

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// clientsSecret is what the chart's folder ci calls the Secret of the authority that signs the API
// server's certificate.
const clientsSecret = "of-the-api-server"

// heard wants the file that the configuration calls the clients' authority to be in the folder, and
// the other way round.
func heard(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	var m corev1.ConfigMap
	var manager appsv1.Deployment
	if !into(t, objects, "ConfigMap", "epitaph-config", &m) ||
		!into(t, objects, "Deployment", "epitaph-manager", &manager) {
		t.Fatal("there is no manager, or no configuration")
	}
	c := readConfig(t, m.Data["config.yaml"])
	var files []string
	for _, v := range manager.Spec.Template.Spec.Volumes {
		if v.Name != "tls" || v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			switch {
			case s.ConfigMap != nil:
				files = append(files, itemPaths(s.ConfigMap.Items)...)
			case s.Secret != nil:
				files = append(files, itemPaths(s.Secret.Items)...)
			}
		}
	}
	var want []string
	if c.Webhook.ClientCA != "" {
		want = append(want, c.Webhook.ClientCA)
	}
	if !slices.Equal(files, want) {
		t.Errorf("beside the certificate there are the files %q, and the configuration names %q",
			files, want)
	}
	if inline := into(t, objects, "ConfigMap", "epitaph-webhook-clients", &m); inline &&
		!strings.HasPrefix(m.Data["ca.crt"], "-----BEGIN CERTIFICATE-----") {
		t.Errorf("the clients' authority is %q", m.Data["ca.crt"])
	}
}

func itemPaths(items []corev1.KeyToPath) (paths []string) {
	for _, i := range items {
		paths = append(paths, i.Path)
	}
	return paths
}

// callersToBelieve are the values that the chart refuses, since nobody would be heard by them, or
// everybody.
func callersToBelieve(t *testing.T, c *cluster) {
	for values, want := range map[string]string{
		"webhookClients.names={kube-apiserver}":                        "webhookClients.names is set, but no authority: set webhookClients.ca, configMap or secret",
		"webhookClients.configMap=a,webhookClients.secret=b":           "webhookClients has more than one of ca, configMap and secret: leave one",
		"webhookClients.ca=/etc/kubernetes/pki/ca.crt":                 "/webhookClients/ca",
		"webhookClients.configMap=a,webhookClients.key=../tls/tls.key": "/webhookClients/key",
	} {
		_, err := c.tryHelm(t, "template", release, c.chart,
			"--kube-version=v1.37.2", "--set", values)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s ends with %v, want %q", values, err, want)
		}
	}
}
