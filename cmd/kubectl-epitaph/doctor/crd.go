package doctor

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

const installDefinitions = "kubectl apply --server-side -f charts/epitaph/crds (Helm installs them once, and never upgrades them)"

// definitions asks for a record of each kind, by a field that the newest version of the definitions
// makes selectable, and whether the API server knows every field that is written.
func definitions(ctx context.Context, p *patient) []Diagnosis {
	byCode := client.MatchingFields{"spec.code": string(reason.KernelPanic)}
	all := []Diagnosis{
		defined("PodObituary", p.List(ctx, &v1alpha1.PodObituaryList{},
			client.InNamespace(p.Namespace), byCode, client.Limit(1))),
		defined("NodeObituary", p.List(ctx, &v1alpha1.NodeObituaryList{}, byCode, client.Limit(1))),
		defined("OwnerObituary", p.List(ctx, &v1alpha1.OwnerObituaryList{}, client.Limit(1))),
	}
	return append(all, fieldsOfRecords(ctx, p)...)
}

// without is what follows where a kind of records is not installed.
var without = map[string]string{
	"OwnerObituary": "pods whose owner is deleted or scaled do not say by whom",
}

func defined(kind string, err error) Diagnosis {
	what := "CRD " + kind
	switch {
	case err == nil:
		return Diagnosis{Well, what, "is served, and you may read it"}
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return Diagnosis{Broken, what, "is not installed: " +
			cmp.Or(without[kind], "nothing can be recorded or told") + ": " + installDefinitions}
	case apierrors.IsBadRequest(err):
		return Diagnosis{Broken, what, "is of another version, its fields cannot be selected: " +
			installDefinitions}
	default:
		return Diagnosis{Unseen, what, err.Error()}
	}
}

// fieldsOfRecords compares the fields that the API server keeps with those that this version of
// Epitaph writes: others it drops.
func fieldsOfRecords(ctx context.Context, p *patient) []Diagnosis {
	const what = "fields of the CRDs"
	served, err := servedSchemas(ctx, p.Config)
	switch {
	case apierrors.IsNotFound(err):
		return nil // They are not installed, which has been reported.
	case err != nil:
		return []Diagnosis{{Unseen, what, err.Error()}}
	}
	var all []Diagnosis
	for _, record := range []any{v1alpha1.PodObituary{}, v1alpha1.NodeObituary{},
		v1alpha1.OwnerObituary{}} {
		t := reflect.TypeOf(record)
		schema, ok := served[t.Name()]
		if !ok {
			continue
		}
		if missing := schema.Properties["spec"].lacks(specOf(t), "spec"); missing != nil {
			all = append(all, Diagnosis{Dubious, what,
				fmt.Sprintf(
					"%s is older than this plugin: what Epitaph of the same version writes into %s is lost: %s",
					t.Name(), strings.Join(missing, ", "), installDefinitions)})
		}
	}
	if all == nil {
		all = []Diagnosis{{Well, what, "are all that this version knows"}}
	}
	return all
}

func specOf(record reflect.Type) reflect.Type {
	f, _ := record.FieldByName("Spec") // a test looks whether each record has one
	return f.Type
}
