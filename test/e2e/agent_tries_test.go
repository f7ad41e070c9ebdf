package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// What the agent's policy says when it refuses.
const (
	ownNodeOnly     = "the agent may write to the status of its own Node only, which is "
	annotationsOnly = "the agent may change no annotation but its evidence, its token and its report"
	nothingElse     = "the agent may change nothing of its Node but annotations"
	atMost          = "the agent may write at most 36864 bytes into an annotation"
	// most is what the largest of them is read of (termination.ReportOf).
	most = 36 << 10
)

// A try is something that somebody with an agent's token does, and how it ends.
type try struct {
	do func(context.Context, *kubernetes.Clientset) error
	// want is what the refusal says; it is empty where nothing is refused.
	want string
}

// patches changes the status of a Node, in the way that the kind of patch says.
func patches(kind types.PatchType, node, format string,
	args ...any) func(context.Context, *kubernetes.Clientset) error {
	o := metav1.PatchOptions{}
	if kind == types.ApplyPatchType {
		o.FieldManager, o.Force = "epitaph-agent", ptr.To(true)
	}
	return func(ctx context.Context, c *kubernetes.Clientset) error {
		_, err := c.CoreV1().Nodes().Patch(ctx, node, kind, fmt.Appendf(nil, format, args...), o,
			"status")
		return err
	}
}

func merges(node, format string, args ...any) func(context.Context, *kubernetes.Clientset) error {
	return patches(types.MergePatchType, node, format, args...)
}

func annotates(node, key string) func(context.Context, *kubernetes.Clientset) error {
	return merges(node, `{"metadata":{"annotations":{%q:"x"}}}`, key)
}

// applies is a server-side apply, which takes every field over that it names.
func applies(node, fields string) func(context.Context, *kubernetes.Clientset) error {
	return patches(types.ApplyPatchType, node, `{"apiVersion":"v1","kind":"Node",%s}`, fields)
}

func (tc try) check(t *testing.T, as *kubernetes.Clientset) {
	t.Helper()
	err := tc.do(t.Context(), as)
	switch {
	case tc.want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case tc.want != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.want)):
		t.Errorf("ended with %v, want %q", err, tc.want)
	}
}

func annotationTries(own, other string) map[string]try {
	ownOnly := ownNodeOnly + own
	large := func(size int) func(context.Context, *kubernetes.Clientset) error {
		return merges(own, `{"metadata":{"annotations":{%q:%q}}}`, reason.EvidenceKey,
			strings.Repeat("x", size))
	}
	return map[string]try{
		"its evidence, which is no JSON": {do: annotates(own, reason.EvidenceKey)},
		"its token":                      {do: annotates(own, reason.TokenKey)},
		"its report":                     {do: annotates(own, reason.AgentKey)},
		"its report is applied": {do: applies(own,
			`"metadata":{"annotations":{"epitaph-k8s.io/agent":"x"}}`)},
		"its token goes": {do: merges(own,
			`{"metadata":{"annotations":{%q:null}}}`, reason.TokenKey)},
		"as much as is read": {do: large(most)},
		// docs/agent.md says that this is not guarded.
		"the record of who manages what": {do: merges(own, `{"metadata":{"managedFields":[{}]}}`)},
		"more than is read":              {do: large(most + 1), want: atMost},
		"more than is read, in bytes": {
			do: merges(own, `{"metadata":{"annotations":{%q:%q}}}`, reason.AgentKey,
				strings.Repeat("ü", most/2+1)),
			want: atMost,
		},
		"the evidence of another node": {do: annotates(other, reason.EvidenceKey),
			want: ownOnly},
		"the token of another node": {do: annotates(other, reason.TokenKey),
			want: ownOnly},
		"the evidence of another node is applied": {
			do:   applies(other, `"metadata":{"annotations":{"epitaph-k8s.io/evidence":"x"}}`),
			want: ownOnly},
		"another node, in a dry run": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				body := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"x"}}}`,
					reason.EvidenceKey)
				_, err := c.CoreV1().Nodes().Patch(ctx, other, types.MergePatchType, body,
					metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, "status")
				return err
			},
			want: ownOnly,
		},
		"a reason": {do: annotates(own, keys.Node.Reason),
			want: annotationsOnly},
		"the intent to remove itself": {do: annotates(own, reason.MarkedDeadKey),
			want: annotationsOnly},
		"a key that is almost its own": {do: annotates(own, reason.EvidenceKey+"-2"),
			want: annotationsOnly},
		"a key in capitals": {do: annotates(own, "Epitaph-k8s.io/evidence"),
			want: annotationsOnly},
		"somebody's annotation goes": {do: merges(own,
			`{"metadata":{"annotations":{"example.com/theirs":null}}}`), want: annotationsOnly},
		"somebody's annotation changes": {do: annotates(own, "example.com/theirs"),
			want: annotationsOnly},
		"all annotations go": {do: merges(own, `{"metadata":{"annotations":null}}`),
			want: annotationsOnly},
		"beside what it may": {do: merges(own,
			`{"metadata":{"annotations":{%q:"x","a":"b"}}}`,
			reason.EvidenceKey), want: annotationsOnly},
		"an annotation is applied": {do: applies(own, `"metadata":{"annotations":{"a":"b"}}`),
			want: annotationsOnly},
		"all annotations are replaced": {
			do: patches(types.JSONPatchType, own,
				`[{"op":"replace","path":"/metadata/annotations","value":{%q:"x"}}]`,
				reason.EvidenceKey),
			want: annotationsOnly,
		},
		"an annotation moves": {
			do: patches(types.JSONPatchType, own,
				`[{"op":"move","from":"/metadata/annotations/example.com~1theirs","path":"/metadata/annotations/epitaph-k8s.io~1evidence"}]`),
			want: annotationsOnly,
		},
		"all annotations are replaced, strategically": {
			do: patches(types.StrategicMergePatchType, own,
				`{"metadata":{"annotations":{"$patch":"replace",%q:"x"}}}`, reason.EvidenceKey),
			want: annotationsOnly,
		},
	}
}
