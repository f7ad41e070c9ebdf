package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// A schema is the part of an OpenAPI schema that says which fields the API server keeps.
type schema struct {
	Properties map[string]schema         `json:"properties"`
	Items      *schema                   `json:"items"`
	Kinds      []metav1.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
}

// servedSchemas are those of our group, by kind, as the API server publishes them to everybody who
// has logged in.
func servedSchemas(ctx context.Context, config *rest.Config) (map[string]schema, error) {
	c, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", config.Host, err)
	}
	data, err := c.RESTClient().Get().AbsPath("/openapi/v3/apis",
		v1alpha1.GroupVersion.String()).Do(ctx).Raw()
	if err != nil {
		return nil, fmt.Errorf("read the schemas of %s: %w", v1alpha1.GroupVersion, err)
	}
	var document struct {
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("read the schemas of %s: %w", v1alpha1.GroupVersion, err)
	}
	served := map[string]schema{}
	for _, s := range document.Components.Schemas {
		for _, k := range s.Kinds {
			if k.Group == v1alpha1.GroupVersion.Group {
				served[k.Kind] = s
			}
		}
	}
	return served, nil
}

// lacks are the fields of a type that the schema does not have, in the order of the type. Of a
// field that is missing, those below it are not named.
func (s schema) lacks(t reflect.Type, path string) []string {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.lacks(t.Elem(), path)
	case t.Kind() == reflect.Slice && s.Items != nil:
		return s.Items.lacks(t.Elem(), path)
	case t.Kind() != reflect.Struct || t == reflect.TypeFor[metav1.Time]():
		return nil
	}
	var missing []string
	for n := range t.NumField() {
		f := t.Field(n)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := path + "." + name
		if below, ok := s.Properties[name]; ok {
			missing = append(missing, below.lacks(f.Type, at)...)
		} else {
			missing = append(missing, at)
		}
	}
	return missing
}
