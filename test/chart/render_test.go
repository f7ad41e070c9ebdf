//go:build linux

package chart

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/registration"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// valueSets are the flags for the default values, and for each combination in the chart's folder
// ci.
func (c *cluster) valueSets(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.chart, "ci", "*.yaml"))
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there are no files in the chart's folder ci")
	}
	sets := map[string][]string{"default": nil}
	for _, file := range files {
		sets[filepath.Base(file)] = []string{"--values", file}
	}
	return sets
}

func lint(t *testing.T, c *cluster) {
	for name, values := range c.valueSets(t) {
		t.Run(name, func(t *testing.T) {
			c.helm(t, append([]string{"lint", "--strict", "--kube-version=v1.37.2", c.chart},
				values...)...)
		})
		t.Run(name+" elsewhere", func(t *testing.T) {
			text := c.helm(t,
				append([]string{"template", "other", c.chart,
					"--namespace", "elsewhere", "--kube-version=v1.37.2"}, values...)...)
			if strings.Contains(text, namespace) {
				t.Errorf("what is rendered for another namespace has %s in it", namespace)
			}
		})
	}
	_, err := c.tryHelm(t, "template", release, c.chart,
		"--kube-version=v1.37.2", "--set", "config.webhook.failurePolcy=Fail")
	if err == nil || !strings.Contains(err.Error(), "failurePolcy") {
		t.Errorf("a misspelled value ends with %v, want its name", err)
	}
	halfHosted(t, c)
}

// rendered has the API server look at every object, as strictly as it can, and write none.
func rendered(t *testing.T, c *cluster) {
	_, err := c.client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	must(t, err)
	strict := client.WithFieldValidation(c.objects, metav1.FieldValidationStrict)
	for name, values := range c.valueSets(t) {
		t.Run(name, func(t *testing.T) {
			objects := c.template(t, values...)
			for _, o := range objects {
				// its account is not there: the other objects are not written either
				if o.GetKind() == "Pod" {
					unstructured.RemoveNestedField(o.Object, "spec", "serviceAccountName")
				}
				if err := strict.Create(t.Context(), o.DeepCopy(), client.DryRunAll); err != nil {
					t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
				}
			}
			registered(t, objects)
			certified(t, objects)
			heard(t, objects)
			policed(t, objects)
			monitored(t, objects)
			hosted(t, objects)
			secured(t, c, objects)
			labelled(t, objects)
		})
	}
}

// template renders the chart, definitions included.
func (c *cluster) template(t *testing.T, values ...string) (objects []*unstructured.Unstructured) {
	t.Helper()
	args := []string{"template", release, c.chart, "--namespace", namespace,
		"--include-crds", "--kube-version=v1.37.2"}
	text := c.helm(t, append(args, values...)...)
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096); ; {
		o := &unstructured.Unstructured{}
		err := d.Decode(o)
		if errors.Is(err, io.EOF) {
			return objects
		}
		must(t, err)
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// registered compares the webhook configuration with what the clusters without Helm have for the
// configuration beside it.
func registered(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	var c config.Config
	var got *admissionregistrationv1.MutatingWebhookConfiguration
	for _, o := range objects {
		switch {
		case o.GetKind() == "ConfigMap" && o.GetName() == "epitaph-config":
			text, _, err := unstructured.NestedString(o.Object, "data", "config.yaml")
			must(t, err)
			c = readConfig(t, text)
		case o.GetKind() == "MutatingWebhookConfiguration":
			got = &admissionregistrationv1.MutatingWebhookConfiguration{}
			must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, got))
		}
	}
	if !c.Webhook.Enabled {
		if got != nil {
			t.Errorf("the webhook is off, and yet registered")
		}
		return
	}
	want, err := registration.Of(c,
		admissionregistrationv1.WebhookClientConfig{
			Service: &admissionregistrationv1.ServiceReference{
				Name: "epitaph-webhook", Namespace: namespace, Path: ptr.To(webhook.Path),
				Port: ptr.To(int32(443)),
			}})
	must(t, err)
	for i := range got.Webhooks {
		got.Webhooks[i].ClientConfig.CABundle = nil
	}
	if diff := cmp.Diff(want.Webhooks, got.Webhooks); diff != "" {
		t.Errorf("the webhooks (-want +got):\n%s", diff)
	}
}

// certified wants every replica to find the Secret that it mounts: something else of the chart
// makes it, or its owner.
func certified(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	wanted, made := "", map[string]bool{"of-its-owner": true}
	for _, o := range objects {
		switch {
		case o.GetKind() == "Secret":
			made[o.GetName()] = true
		case o.GetKind() == "Certificate":
			name, _, err := unstructured.NestedString(o.Object, "spec", "secretName")
			must(t, err)
			made[name] = true
		case o.GetKind() == "Deployment":
			volumes, _, err := unstructured.NestedSlice(o.Object,
				"spec", "template", "spec", "volumes")
			must(t, err)
			for _, v := range volumes {
				if name, there, _ := unstructured.NestedString(v.(map[string]any),
					"secret", "secretName"); there {
					wanted = name
				}
				sources, _, _ := unstructured.NestedSlice(v.(map[string]any),
					"projected", "sources")
				for _, s := range sources {
					if name, there, _ := unstructured.NestedString(s.(map[string]any),
						"secret", "name"); there && name != clientsSecret {
						wanted = name
					}
				}
			}
		}
	}
	if wanted != "" && !made[wanted] {
		t.Errorf("the replicas mount the Secret %s, which nothing makes", wanted)
	}
}

// readConfig reads the program's configuration as the program does.
func readConfig(t *testing.T, text string) config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	c, err := config.Load(file)
	must(t, err)
	return c
}
