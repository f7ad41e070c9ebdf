package webhook

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Whether Karpenter ended a NodeClaim at once, or when its pods had had their time.
func TestUnhealthyNodeClaim(t *testing.T) {
	t.Parallel()
	const before, deleted, after = "2026-05-01T11:59:59Z", "2026-05-01T12:00:00Z",
		"2026-05-01T12:10:00Z"
	for name, tt := range map[string]struct {
		deleted, over, grace string
		want                 bool
	}{
		"repaired":                             {deleted, before, "", true},
		"repaired in the same second":          {deleted, deleted, "", true},
		"repaired, with a time for its pods":   {deleted, before, "10m", true},
		"disrupted, with a time for its pods":  {deleted, after, "10m", false},
		"disrupted, with no time for its pods": {deleted, deleted, "0s", false},
		"disrupted":                            {deleted, "", "", false},
		"not deleted":                          {"", before, "", false},
		"no time":                              {deleted, "soon", "", false},
	} {
		u := &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{}, "spec": map[string]any{}}}
		for _, field := range []struct {
			value string
			path  []string
		}{
			{tt.deleted, []string{"metadata", "deletionTimestamp"}},
			{tt.over, []string{"metadata", "annotations", terminationTime}},
			{tt.grace, []string{"spec", "terminationGracePeriod"}},
		} {
			if field.value == "" {
				continue
			}
			if err := unstructured.SetNestedField(u.Object, field.value,
				field.path...); err != nil {
				t.Fatal(err)
			}
		}
		if got := nodeClaim(u).Unhealthy; got != tt.want {
			t.Errorf("%s: unhealthy = %t, want %t", name, got, tt.want)
		}
	}
}
