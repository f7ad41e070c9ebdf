package config

import (
	"os"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Operators look fields up in the reference file: a field that is missing there does not exist for
// them.
func TestFullNamesEveryField(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range fieldPaths() {
		if strings.Contains(path, "namespaceSelector.") {
			continue // Kubernetes' own type
		}
		name := path[strings.LastIndex(path, ".")+1:]
		if !strings.Contains(string(data), name+":") {
			t.Errorf("testdata/full.yaml does not show %s", path)
		}
	}
}

// shape knows every kind of field in use; a field of another kind has to be added there first.
func TestShapeKnowsEveryKind(t *testing.T) {
	t.Parallel()
	var walk func(t reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		if typ == reflect.TypeFor[metav1.Duration]() {
			return
		}
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem(), path)
		case reflect.Struct:
			for name, n := range fieldsOf(typ) {
				walk(typ.Field(n).Type, path+"."+name)
			}
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64,
			reflect.Float32, reflect.Float64:
		case reflect.Uint8: // an actor, read by a method of its own
			if !strings.HasSuffix(path, ".actor") {
				t.Errorf("%s is a %s", path, typ)
			}
		default:
			t.Errorf("%s is a %s", path, typ)
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"gc.quarantine", "gc.workers", "webhook.mode"}
	tests := map[string]string{"gc.quarantien": "gc.quarantine", "gc.Workers": "gc.workers",
		"gc.brake.workers": "gc.workers", "horses": "",
		"gc.quarantine" + strings.Repeat("e", 60): "", "gc.quarantineee": "gc.quarantine"}
	for give, want := range tests {
		if got := nearest(give, known); got != want {
			t.Errorf("nearest(%s) = %q, want %q", give, got, want)
		}
	}
}
