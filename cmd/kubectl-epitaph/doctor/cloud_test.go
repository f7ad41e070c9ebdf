package doctor

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

func TestCloudDiagnosis(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var i inquests
	i.count(&v1alpha1.CloudAnswer{What: "spot-interruption", Asked: metav1.NewTime(at)})
	i.count(&v1alpha1.CloudAnswer{Asked: metav1.NewTime(at)})
	if got, want := i.diagnosis("API of aws"), (Diagnosis{Well, "API of aws",
		"says why 1 of 2 nodes went that it was asked about in the last day"}); got != want {
		t.Errorf("diagnosed %+v, want %+v", got, want)
	}
	i.count(&v1alpha1.CloudAnswer{What: "terminated", Asked: metav1.NewTime(at.Add(time.Hour)),
		Unanswered: []string{"cloudtrail:LookupEvents: \x1b[31mAccessDenied", "x"}})
	i.count(&v1alpha1.CloudAnswer{Asked: metav1.NewTime(at), Unanswered: []string{"older"}})
	if got, want := i.diagnosis("API of aws"), (Diagnosis{Dubious, "API of aws",
		"says why 2 of 4 nodes went that it was asked about in the last day; about 2, it did not " +
			`answer every call, as last: cloudtrail:LookupEvents: \x1b[31mAccessDenied`}); got != want {
		t.Errorf("diagnosed %+v, want %+v", got, want)
	}
}
