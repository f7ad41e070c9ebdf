package lookup

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Volcano's Job is never taken for Kubernetes', whichever the API server names first.
func TestOwnersAreFoundByTheirWholeGroup(t *testing.T) {
	t.Parallel()
	mapperOf := func(kind schema.GroupVersionKind) meta.RESTMapper {
		m := meta.NewDefaultRESTMapper([]schema.GroupVersion{kind.GroupVersion()})
		m.Add(kind, meta.RESTScopeNamespace)
		return m
	}
	volcano := schema.GroupVersionKind{Group: "batch.volcano.sh", Version: "v1alpha1", Kind: "Job"}
	batch := schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}
	both := meta.MultiRESTMapper{mapperOf(volcano), mapperOf(batch)}
	for name, tc := range map[string]struct {
		owner  Owner
		mapper meta.RESTMapper
		want   schema.GroupVersionKind
	}{
		"known beforehand": {Owner{Group: "batch", Resource: "job", Kind: "Job"}, both, batch},
		"by its resource":  {Owner{Group: "batch", Resource: "jobs"}, both, batch},
		"the other one":    {Owner{Group: "batch.volcano.sh", Resource: "job"}, both, volcano},
		"part of a group":  {Owner{Group: "batch", Resource: "job"}, mapperOf(volcano), schema.GroupVersionKind{}},
		"not installed": {Owner{Group: "batch", Resource: "job", Kind: "Job"}, mapperOf(volcano),
			schema.GroupVersionKind{}},
	} {
		got, ok := tc.owner.kind(tc.mapper)
		if got != tc.want || ok == tc.want.Empty() {
			t.Errorf("%s: kind = %v, %t, want %v", name, got, ok, tc.want)
		}
	}
}
