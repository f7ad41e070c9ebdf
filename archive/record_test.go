package archive_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
)

// The record of a node is stored with what its cloud said of it later.
func TestNodesAreStoredWithTheCloudsAnswer(t *testing.T) {
	t.Parallel()
	o := &v1alpha1.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: "n1-x", UID: "1", ResourceVersion: "7",
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "epitaph"}}},
		Spec: v1alpha1.NodeObituarySpec{NodeName: "n1", Code: "SpotInterrupted"},
		Status: v1alpha1.NodeObituaryStatus{Cloud: &v1alpha1.CloudAnswer{Cloud: "aws",
			What: "terminated"}},
	}
	r, err := archive.Of("c", 1, o)
	if err != nil {
		t.Fatal(err)
	}
	var stored v1alpha1.NodeObituary
	if err := json.Unmarshal(r.Document, &stored); err != nil {
		t.Fatal(err)
	}
	want := o.DeepCopy()
	want.TypeMeta = metav1.TypeMeta{APIVersion: "epitaph-k8s.io/v1alpha1", Kind: "NodeObituary"}
	want.ManagedFields = nil
	if diff := cmp.Diff(want, &stored); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}
