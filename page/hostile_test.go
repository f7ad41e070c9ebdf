package page

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/test/hostile"
)

// A stage is what a page reads and asks: one node, some pods, and a visitor who may read what is in
// the namespaces of may, or everything if it is nil.
type stage struct {
	node *v1alpha1.NodeObituary
	pods []*v1alpha1.PodObituary
	may  map[string]bool
}

type tokenReviews struct{}

func (tokenReviews) Create(_ context.Context, r *authenticationv1.TokenReview,
	_ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	r.Status = authenticationv1.TokenReviewStatus{Authenticated: true,
		User: authenticationv1.UserInfo{Username: hostile.Text}}
	return r, nil
}

func (s *stage) Create(_ context.Context, r *authorizationv1.SubjectAccessReview,
	_ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	r.Status.Allowed = s.may == nil || s.may[r.Spec.ResourceAttributes.Namespace]
	return r, nil
}

func (s *stage) Get(_ context.Context, key client.ObjectKey, o client.Object,
	_ ...client.GetOption) error {
	switch o := o.(type) {
	case *v1alpha1.NodeObituary:
		*o = *s.node
		return nil
	case *v1alpha1.PodObituary:
		for _, pod := range s.pods {
			if client.ObjectKeyFromObject(pod) == key {
				*o = *pod
				return nil
			}
		}
	case *batchv1.Job:
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func (s *stage) List(_ context.Context, list client.ObjectList,
	options ...client.ListOption) error {
	switch list := list.(type) {
	case *v1alpha1.NodeObituaryList:
		list.Items = []v1alpha1.NodeObituary{*s.node}
	case *v1alpha1.PodObituaryList:
		in := (&client.ListOptions{}).ApplyOptions(options).Namespace
		for _, pod := range s.pods {
			if in == "" || pod.Namespace == in {
				list.Items = append(list.Items, *pod)
			}
		}
	}
	return nil
}

func (s *stage) page(t *testing.T) *Page {
	t.Helper()
	records := NewRecords(nil)
	all := make([]any, len(s.pods))
	for n, o := range s.pods {
		all[n] = o
	}
	complete(t, records, all...)
	p, err := New(Options{Reader: s, Records: records,
		Namespaces: func(context.Context) ([]string, error) { return []string{"ns", "other"}, nil },
		Reviewer:   tokenReviews{}, Authorizer: s, Clock: clocktesting.NewFakePassiveClock(noon),
		Registerer: prometheus.NewRegistry(), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func visited(t *testing.T, p *Page, path string) (status int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer token")
	r.AddCookie(&http.Cookie{Name: zoneCookie, Value: "Europe/Berlin"})
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func hostileStage(pods int) *stage {
	s := &stage{node: &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: "n-1"}}}
	hostile.Fill(&s.node.Spec)
	s.node.Spec.Removed = metav1.NewTime(noon)
	for n := range pods {
		o := listed(n)
		removed := o.Spec.Removed
		hostile.Fill(&o.Spec)
		o.Namespace, o.Labels = "ns", map[string]string{hostile.Text: hostile.Text}
		o.Spec.Removed, o.Spec.NodeObituary = removed, "n-1"
		for _, state := range []v1alpha1.ContainerState{v1alpha1.Running, v1alpha1.Exited,
			v1alpha1.NeverStarted} {
			end := o.Spec.Containers[0]
			end.State = state
			o.Spec.Containers = append(o.Spec.Containers, end)
		}
		o.Spec.Owners = append(o.Spec.Owners, v1alpha1.Owner{APIVersion: "batch/v1", Kind: "Job",
			Name: "train"}, v1alpha1.Owner{APIVersion: "batch/v1", Kind: "Job", Name: hostile.Text},
			v1alpha1.Owner{Kind: hostile.Text, Name: "../../logout"})
		s.pods = append(s.pods, o)
	}
	return s
}

// Whatever is on record, or in an address, is text on every page: nothing of it is run, moves a
// cursor or turns the direction of a line.
func TestHostileContentIsText(t *testing.T) {
	t.Parallel()
	s := hostileStage(150)
	p := s.page(t)
	bad, long := url.QueryEscape(hostile.Text), strings.Repeat("%F0%9F%98%80x", 1<<17)
	element := url.PathEscape(hostile.Text)
	for name, tc := range map[string]struct {
		path   string
		status int
	}{
		"list":             {"/", 200},
		"search":           {"/?q=" + bad, 200},
		"namespace":        {"/?namespace=" + bad, 200},
		"code":             {"/?code=" + bad, 200},
		"node":             {"/?node=" + bad, 200},
		"pod":              {"/?pod=" + bad, 200},
		"owner":            {"/?owner=" + bad, 200},
		"within":           {"/?since=" + bad, 400},
		"class":            {"/?class=" + bad, 400},
		"place":            {"/?after=" + bad, 400},
		"place with names": {"/?after=2026-05-01T12:00:00Z," + bad + "/" + bad, 200},
		"a second page":    {"/?after=2026-05-01T11:59:00Z,ns/x", 200},
		"a story":          {"/pods/ns/" + s.pods[0].Name, 200},
		"no story":         {"/pods/" + element + "/" + element, 404},
		"a Job":            {"/jobs/ns/train", 200},
		"no Job":           {"/jobs/ns/" + element, 404},
		"nodes":            {"/nodes", 200},
		"nodes searched":   {"/nodes?q=" + bad + "&node=" + bad + "&code=" + bad, 200},
		"a node":           {"/nodes/n-1", 200},
		"zones":            {"/zone?back=" + bad, 200},
		"zones, elsewhere": {"/zone?back=" + url.QueryEscape("//evil.example/"+hostile.Text), 200},
		"zones, a script":  {"/zone?back=" + url.QueryEscape("javascript:alert(1)"), 200},
		"a megabyte":       {"/?q=" + long + "&owner=" + long + "&pod=" + long, 200},
		"a megabyte back":  {"/zone?back=/" + long, 200},
		"a megabyte place": {"/?after=" + long, 400},
		"nowhere":          {"/" + element, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := visited(t, p, tc.path)
			if status != tc.status {
				t.Errorf("%d, want %d:\n%.2000s", status, tc.status, body)
			}
			if len(body) > 2<<20 {
				t.Errorf("it is answered with %d bytes", len(body))
			}
			if strings.Contains(body, "<script") || strings.Contains(body, "href=\"javascript") ||
				strings.Contains(body, "evil.example") {
				t.Errorf("it is not escaped:\n%.5000s", body)
			}
			// In an address, a link carries them escaped.
			n := strings.IndexFunc(body, func(r rune) bool {
				return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf)
			})
			if n >= 0 {
				t.Errorf("it has a character that is not seen: %q", body[max(0, n-100):n+10])
			}
		})
	}
}

// Whoever may read one namespace gets nothing of another, on whatever page and by whatever filter.
func TestOneNamespaceAlone(t *testing.T) {
	t.Parallel()
	s := &stage{node: &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: "n-1"}},
		may: map[string]bool{"ns": true}}
	for n := range 10 {
		own, other := listed(n), listed(n+1000)
		own.Namespace, other.Namespace = "ns", "other"
		other.Spec.Reason, own.Spec.NodeObituary, other.Spec.NodeObituary = "SECRET", "n-1", "n-1"
		s.pods = append(s.pods, own, other)
	}
	p := s.page(t)
	for path, status := range map[string]int{
		"/?namespace=ns": 200, "/?namespace=ns&q=secret": 200, "/?namespace=ns&code=KernelPanic": 200,
		"/": 200, "/?q=secret": 200, "/?node=worker-1000": 200, "/?namespace=other": 403,
		"/?namespace=other&q=secret": 403, "/jobs/other/train-20": 403, "/nodes": 403,
		"/nodes/n-1": 403, "/pods/other/" + s.pods[1].Name: 403, "/jobs/ns/train-0": 200,
		"/jobs/ns/train-20": 404,
	} {
		got, body := visited(t, p, path)
		if got != status || strings.Contains(body, "SECRET") || strings.Contains(body, "train-01000") {
			t.Errorf("%s: %d, want %d\n%s", path, got, status, body)
		}
	}
	_, body := visited(t, p, "/?namespace=ns")
	if !strings.Contains(body, "1 to 10 of 10") || !strings.Contains(body, "In all: KernelPanic 10") {
		t.Errorf("the list is\n%s", body)
	}
}
