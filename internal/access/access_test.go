package access_test

import (
	"context"
	"errors"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/internal/access"
)

// server answers as it is told, and remembers what it was asked.
type server struct {
	allowed bool
	err     error
	asked   []authorizationv1.SubjectAccessReviewSpec
}

func (s *server) Create(_ context.Context, r *authorizationv1.SubjectAccessReview,
	_ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	s.asked = append(s.asked, r.Spec)
	if s.err != nil {
		return nil, s.err
	}
	r.Status.Allowed = s.allowed
	return r, nil
}

var (
	carol = authenticationv1.UserInfo{Username: "carol", Groups: []string{"batch"},
		Extra: map[string]authenticationv1.ExtraValue{"scopes": {"read"}}}
	listPods = authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods", Namespace: "a"}
)

func TestAnswersAreReused(t *testing.T) {
	t.Parallel()
	s, clk := &server{allowed: true}, clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	reviews := access.NewReviews(s, clk, 16, time.Minute)
	want := func(asked int, allowed bool) {
		t.Helper()
		got, err := reviews.Allowed(t.Context(), carol, listPods)
		if err != nil || got != allowed || len(s.asked) != asked {
			t.Errorf("Allowed = %t, %v after %d questions, want %t after %d", got, err,
				len(s.asked), allowed, asked)
		}
	}
	want(1, true)
	s.allowed = false
	want(1, true)
	clk.SetTime(clk.Now().Add(time.Minute + time.Second))
	want(2, false)
	want(2, false) // a refusal is reused as well
}

// Whatever an authorizer may look at makes another question.
func TestQuestionsAreToldApart(t *testing.T) {
	t.Parallel()
	s := &server{allowed: true}
	reviews := access.NewReviews(s, clocktesting.NewFakePassiveClock(time.Unix(1000, 0)), 16,
		time.Minute)
	ask := func(user authenticationv1.UserInfo, right authorizationv1.ResourceAttributes) {
		t.Helper()
		if _, err := reviews.Allowed(t.Context(), user, right); err != nil {
			t.Fatal(err)
		}
	}
	other := func(change func(*authenticationv1.UserInfo,
		*authorizationv1.ResourceAttributes)) {
		t.Helper()
		user, right, before := *carol.DeepCopy(), listPods, len(s.asked)
		change(&user, &right)
		ask(user, right)
		if len(s.asked) != before+1 {
			t.Errorf("%v %v was answered with what was said of another", user, right)
		}
	}
	type (
		user  = authenticationv1.UserInfo
		right = authorizationv1.ResourceAttributes
	)
	ask(carol, listPods)
	other(func(u *user, _ *right) { u.Username = "dave" })
	other(func(u *user, _ *right) { u.UID = "1" })
	other(func(u *user, _ *right) { u.Groups = []string{"batch", "admins"} })
	other(func(u *user, _ *right) { u.Groups = []string{"batch\nadmins"} })
	other(func(u *user, _ *right) { u.Extra["scopes"] = []string{"write"} })
	other(func(_ *user, r *right) { r.Namespace = "" })
	other(func(_ *user, r *right) { r.Verb = "get" })
	if got := s.asked[0]; got.User != "carol" || got.Extra["scopes"][0] != "read" ||
		*got.ResourceAttributes != listPods {
		t.Errorf("the API server was asked %+v", got)
	}
}

func TestNoAnswerIsNotReused(t *testing.T) {
	t.Parallel()
	s := &server{allowed: true, err: errors.New("gone")}
	reviews := access.NewReviews(s, clocktesting.NewFakePassiveClock(time.Unix(1000, 0)), 16,
		time.Minute)
	if allowed, err := reviews.Allowed(t.Context(), carol, listPods); allowed ||
		!errors.Is(err, s.err) {
		t.Errorf("Allowed = %t, %v, want the API server's error", allowed, err)
	}
	s.err = nil
	if allowed, err := reviews.Allowed(t.Context(), carol, listPods); !allowed || err != nil {
		t.Errorf("Allowed = %t, %v once the API server answers", allowed, err)
	}
}
