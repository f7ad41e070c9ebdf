package reason

import "testing"

func TestApplicationOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		labels, annotations map[string]string
		by, want            string
	}{
		"of nothing": {},
		"Argo CD, by annotation": {annotations: map[string]string{
			"argocd.argoproj.io/tracking-id": "shop:batch/Job:prod/etl"},
			want: "Argo CD application shop"},
		"Argo CD, by label": {labels: map[string]string{"argocd.argoproj.io/instance": "shop"},
			want: "Argo CD application shop"},
		"Flux, rather than the Helm release of the same": {
			labels:      map[string]string{"helm.toolkit.fluxcd.io/name": "shop"},
			annotations: map[string]string{"meta.helm.sh/release-name": "shop-1"},
			want:        "Flux HelmRelease shop"},
		"Argo CD, by the label that others set, too": {
			labels: map[string]string{"app.kubernetes.io/instance": "shop"},
			by:     "system:serviceaccount:argocd:argocd-application-controller",
			want:   "Argo CD application shop"},
		"somebody else, what may be Argo CD's": {
			labels: map[string]string{"app.kubernetes.io/instance": "shop"}, by: "carol"},
		"Flux, with its namespace": {
			labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps",
				"kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
			want: "Flux Kustomization flux-system/apps"},
		"Flux without Helm": {
			labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"},
			want:   "Flux Kustomization apps"},
		"Helm": {annotations: map[string]string{"meta.helm.sh/release-name": "shop"},
			want: "Helm release shop"},
		"hostile": {annotations: map[string]string{"meta.helm.sh/release-name": "a\x1b[1m"},
			want: `Helm release a\x1b[1m`},
		"a label's key among the annotations": {
			annotations: map[string]string{"argocd.argoproj.io/instance": "shop"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ApplicationOf(tc.labels, tc.annotations, tc.by); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// Kinds of the same name are distinguished by their group.
func TestKindOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ apiVersion, kind, want string }{
		{"batch/v1", "Job", "Job"}, {"", "Job", "Job"},
		{"batch.volcano.sh/v1alpha1", "Job", "Job.batch.volcano.sh"},
		{"apps.kruise.io/v1beta1", "StatefulSet", "StatefulSet.apps.kruise.io"},
		{"argoproj.io/v1alpha1", "Workflow", "Workflow"},
		{"a/b/c", "Job", "Job.a/b/c"}, {"v1", "Node", "Node"},
	} {
		if got := KindOf(tc.apiVersion, tc.kind); got != tc.want {
			t.Errorf("%s of %s is named %q, want %q", tc.kind, tc.apiVersion, got, tc.want)
		}
	}
	if IsKind("", "Job", JobKind) || !IsKind("batch/v1", "Job", JobKind) ||
		IsKind("batch.volcano.sh/v1alpha1", "Job", JobKind) {
		t.Error("a kind was not told from its namesake")
	}
}
