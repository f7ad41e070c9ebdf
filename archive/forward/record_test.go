package forward_test

import (
	"testing"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind           archive.Kind
		document, want string
	}{
		"as it was written first": {archive.NodeKind, `{"metadata": {"generation": 1}}`,
			"io.epitaph-k8s.node.recorded"},
		"with an empty status": {archive.NodeKind, `{"metadata": {"generation": 1}, "status": {}}`,
			"io.epitaph-k8s.node.recorded"},
		"with the cloud's answer": {archive.NodeKind,
			`{"metadata": {"generation": 1}, "status": {"cloud": {"cloud": "aws"}}}`,
			"io.epitaph-k8s.node.amended"},
		"with another reason": {archive.PodKind, `{"metadata": {"generation": 2}}`,
			"io.epitaph-k8s.pod.amended"},
		"of an owner, for its next end": {archive.OwnerKind, `{"metadata": {"generation": 2}}`,
			"io.epitaph-k8s.owner.recorded"},
	} {
		r := archive.Record{Kind: tc.kind, Document: []byte(tc.document)}
		s, err := forward.Summarize(r)
		if got := forward.Event(r, s); err != nil || got != tc.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, tc.want)
		}
	}
}
