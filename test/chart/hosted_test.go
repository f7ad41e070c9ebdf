//go:build linux

package chart

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// gatewayDefinitions are the files that define the kinds of the Gateway API that the chart has
// objects of: cert-manager, which Helm's test installs, depends on the module.
func gatewayDefinitions(ctx context.Context) ([]string, error) {
	dir, err := binaries.Module(ctx, binaries.ChartTools, "sigs.k8s.io/gateway-api")
	if err != nil {
		return nil, err
	}
	var files []string
	for _, kind := range []string{"gateways", "httproutes", "backendtlspolicies"} {
		files = append(files, filepath.Join(dir, "config", "crd", "standard",
			"gateway.networking.k8s.io_"+kind+".yaml"))
	}
	return files, nil
}

// installGatewayDefinitions has the API server know these kinds; nobody acts upon their objects.
func (c *cluster) installGatewayDefinitions(t *testing.T) {
	t.Helper()
	files, err := gatewayDefinitions(t.Context())
	must(t, err)
	_, err = envtest.InstallCRDs(c.RESTConfig(), envtest.CRDInstallOptions{Paths: files,
		ErrorIfPathMissing: true})
	must(t, err)
}

// A route is what of the Gateway API's kinds the chart fills in.
type route struct {
	Spec struct {
		Hostnames  []string `json:"hostnames"`
		ParentRefs []struct {
			Name string `json:"name"`
		} `json:"parentRefs"`
		Rules []struct {
			BackendRefs []struct {
				Name string `json:"name"`
				Port int32  `json:"port"`
			} `json:"backendRefs"`
		} `json:"rules"`
		Listeners []struct {
			Hostname string `json:"hostname"`
			TLS      struct {
				CertificateRefs []struct {
					Name string `json:"name"`
				} `json:"certificateRefs"`
			} `json:"tls"`
		} `json:"listeners"`
		Validation struct {
			Hostname string `json:"hostname"`
		} `json:"validation"`
	} `json:"spec"`
}

// hosted wants all ways to the page to have the same host and certificate, and to end at its
// Service.
func hosted(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	var in networkingv1.Ingress
	if !into(t, objects, "Ingress", "epitaph-page", &in) {
		return
	}
	var service corev1.Service
	if !into(t, objects, "Service", "epitaph-page", &service) {
		t.Fatal("the page has no Service")
	}
	host, secret := in.Spec.Rules[0].Host, in.Spec.TLS[0].SecretName
	backend := in.Spec.Rules[0].HTTP.Paths[0].Backend.Service
	port := service.Spec.Ports[0]
	if backend.Name != service.Name || backend.Port.Name != port.Name || host == "" ||
		!slices.Equal(in.Spec.TLS[0].Hosts, []string{host}) || len(in.Annotations) == 0 {
		t.Errorf("the Ingress is %+v", in.Spec)
	}
	var made struct {
		Spec struct {
			SecretName string   `json:"secretName"`
			DNSNames   []string `json:"dnsNames"`
		} `json:"spec"`
	}
	if !into(t, objects, "Certificate", "epitaph-page-host", &made) ||
		made.Spec.SecretName != secret || !slices.Equal(made.Spec.DNSNames, []string{host}) {
		t.Errorf("the certificate of %s in %s is %+v", host, secret, made.Spec)
	}
	var gateway, way, trust route
	if !into(t, objects, "Gateway", "epitaph-page", &gateway) ||
		gateway.Spec.Listeners[0].Hostname != host ||
		gateway.Spec.Listeners[0].TLS.CertificateRefs[0].Name != secret {
		t.Errorf("the Gateway is %+v", gateway.Spec)
	}
	if !into(t, objects, "HTTPRoute", "epitaph-page", &way) ||
		!slices.Equal(way.Spec.Hostnames, []string{host}) || len(way.Spec.ParentRefs) != 2 ||
		way.Spec.Rules[0].BackendRefs[0].Name != service.Name ||
		way.Spec.Rules[0].BackendRefs[0].Port != port.Port {
		t.Errorf("the HTTPRoute is %+v", way.Spec)
	}
	if !into(t, objects, "BackendTLSPolicy", "epitaph-page", &trust) ||
		trust.Spec.Validation.Hostname != fmt.Sprintf("epitaph-page.%s.svc", namespace) {
		t.Errorf("the BackendTLSPolicy is %+v", trust.Spec)
	}
}

// halfHosted wants Helm to say what is missing.
func halfHosted(t *testing.T, c *cluster) {
	t.Helper()
	const on = "--set=config.page.enabled=true"
	for name, tc := range map[string]struct {
		flags []string
		want  string
	}{
		"no page": {[]string{"--set=page.host=a.example", "--set=page.ingress.enabled=true"},
			"set config.page.enabled"},
		"no host": {[]string{on, "--set=page.ingress.enabled=true"},
			"name the host in page.host"},
		"no Gateway": {[]string{on, "--set=page.host=a.example",
			"--set=page.httpRoute.enabled=true"}, "name Gateways in page.httpRoute.parentRefs"},
		"no name of a host": {[]string{on, "--set=page.host=https://a.example/"}, "page"},
	} {
		if _, err := c.tryHelm(t, append([]string{"template", release, c.chart,
			"--kube-version=v1.37.2"}, tc.flags...)...); err == nil ||
			!strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s ends with %v, want %q", name, err, tc.want)
		}
	}
}
