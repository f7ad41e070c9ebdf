// Package registration renders the chart's webhook configuration without Helm, for clusters that
// run Epitaph as a process.
//
// The chart's template is the one truth: this package executes that file, with the functions of
// Helm's that it uses. test/chart holds what comes out to what Helm itself makes of it.
package registration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"time"

	sprig "github.com/go-task/slim-sprig/v3"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/config"
)

// Webhooks in the configuration that tests name. Each resource has its own, so that the API
// server's own metrics, which know no resource, tell them apart.
const (
	PodsWebhook      = "pods.epitaph-k8s.io"
	EvictionsWebhook = "evictions.epitaph-k8s.io"
)

// Of renders the webhook configuration that belongs to c; at says how the API server reaches the
// webhook.
func Of(c config.Config, at admissionregistrationv1.WebhookClientConfig) (
	*admissionregistrationv1.MutatingWebhookConfiguration, error) {
	text, err := render(c)
	if err != nil {
		return nil, fmt.Errorf("render the chart's webhook configuration: %w", err)
	}
	registration := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := yaml.UnmarshalStrict([]byte(text), registration); err != nil {
		return nil, fmt.Errorf("read the chart's webhook configuration: %w", err)
	}
	for n := range registration.Webhooks {
		registration.Webhooks[n].ClientConfig = at
	}
	return registration, nil
}

func render(c config.Config) (string, error) {
	values, err := valuesFor(c)
	if err != nil {
		return "", err
	}
	t := template.New("epitaph").Option("missingkey=zero")
	t.Funcs(sprig.TxtFuncMap()).Funcs(helm(t))
	folder := filepath.Join(chart(), "templates")
	if _, err := t.ParseFiles(filepath.Join(folder, "_helpers.tpl"),
		filepath.Join(folder, "webhook.yaml")); err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.ExecuteTemplate(&out, "webhook.yaml", map[string]any{
		"Values":  values,
		"Release": map[string]any{"Name": "epitaph", "Namespace": c.Namespace, "Service": "Helm"},
		"Chart":   map[string]any{"Name": "epitaph", "Version": "0.0.0", "AppVersion": "0.0.0"},
	})
	return out.String(), err
}

// valuesFor are the chart's own values with the configuration c. The API server counts the timeout
// in whole seconds, and the chart's schema has no other.
func valuesFor(c config.Config) (map[string]any, error) {
	c.Webhook.Timeout = metav1.Duration{Duration: (c.Webhook.Timeout.Duration +
		time.Second - 1).Truncate(time.Second)}
	content, err := os.ReadFile(filepath.Join(chart(), "values.yaml"))
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(content, &values); err != nil {
		return nil, fmt.Errorf("read values.yaml: %w", err)
	}
	values["config"], err = copied(c)
	return values, err
}

func chart() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "charts", "epitaph")
}

// helm are the functions that Helm adds to sprig's, as far as the two files name them
// (helm.sh/helm/v4 pkg/engine).
func helm(t *template.Template) template.FuncMap {
	return template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out strings.Builder
			err := t.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"toYaml": func(v any) (string, error) {
			text, err := yaml.Marshal(v)
			return strings.TrimSuffix(string(text), "\n"), err
		},
		"fromYaml": func(text string) (m map[string]any, err error) {
			return m, yaml.Unmarshal([]byte(text), &m)
		},
		"merge":    merge,
		"deepCopy": copied,
		"lookup":   func(...string) map[string]any { return nil },
		"required": func(message string, v any) (any, error) {
			if v == nil || v == "" {
				return nil, errors.New(message)
			}
			return v, nil
		},
		"genCA": func(...any) (any, error) {
			return nil, errors.New("no certificate is made here")
		},
		"genSignedCert": func(...any) (any, error) {
			return nil, errors.New("no certificate is made here")
		},
	}
}

// merge adds to the first map what only the others have.
func merge(into map[string]any, others ...map[string]any) map[string]any {
	for _, other := range others {
		for key, value := range other {
			if _, there := into[key]; !there {
				into[key] = value
			}
		}
	}
	return into
}

// copied is v as a template sees it: maps, lists and plain values.
func copied(v any) (m map[string]any, err error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return m, json.Unmarshal(text, &m)
}
