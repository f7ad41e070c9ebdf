package explain

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// The bounds of an answer, in bytes: they keep what the definition of its kind demands.
const (
	maxWho        = 256
	maxDetail     = 1024
	maxCall       = 128
	maxUnanswered = 512
	maxCalls      = 16
)

// A Failure is a call that brought no answer.
type Failure struct {
	// Call is the right that it takes, such as ec2:DescribeInstances.
	Call string
	// Words are why, if possible the cloud's own.
	Words string
	// Status is that of HTTP; 0 if there was no reply.
	Status int
	// Throttled says that the cloud wants to be asked less. Wait is for how long not to ask, if it
	// says so.
	Throttled bool
	Wait      time.Duration
	// Err is what the SDK returned.
	Err error
}

func (f *Failure) Error() string { return f.Call + ": " + f.Words }

func (f *Failure) Unwrap() error { return f.Err }

// passing reports whether the same call may be answered later.
func (f *Failure) passing() bool {
	return f.Throttled || f.Status == 0 || f.Status >= http.StatusInternalServerError
}

// throttleWait is how long not to ask a cloud that throttles and does not say for how long: its
// SDK has already tried again for some seconds.
const throttleWait = 30 * time.Second

// wait returns the failure as [After] reads it.
func (f *Failure) wait() error {
	if !f.Throttled {
		return f
	}
	w := &WaitError{Wait: f.Wait, Err: f}
	if w.Wait <= 0 {
		w.Wait = throttleWait
	}
	return w
}

// A Draft is an answer that several calls bring. What it is told is cleaned and bounded.
type Draft struct {
	answer v1alpha1.CloudAnswer
	failed []*Failure
	later  bool
}

// NewDraft returns an empty answer of a cloud.
func NewDraft(cloud string, now time.Time) *Draft {
	return &Draft{answer: v1alpha1.CloudAnswer{Cloud: cloud, Asked: metav1.NewTime(now)}}
}

// Answered notes a call that answered, whatever it said.
func (d *Draft) Answered(call string) {
	if len(d.answer.Sources) < maxCalls {
		d.answer.Sources = append(d.answer.Sources, reason.CleanTo(call, maxCall))
	}
}

// Failed notes a call that did not answer.
func (d *Draft) Failed(f *Failure) {
	d.failed = append(d.failed, f)
	if len(d.answer.Unanswered) < maxCalls {
		d.answer.Unanswered = append(d.answer.Unanswered,
			reason.CleanTo(f.Error(), maxUnanswered))
	}
}

// Later notes that the cloud may know more later.
func (d *Draft) Later() { d.later = true }

// Happened sets what happened, and who did it.
func (d *Draft) Happened(what, who string) {
	d.answer.What, d.answer.Who = what, reason.CleanTo(who, maxWho)
}

// What returns what happened, as far as is known.
func (d *Draft) What() string { return d.answer.What }

// Detail adds words of the cloud.
func (d *Draft) Detail(words string) {
	if words == "" {
		return
	}
	if d.answer.Detail != "" {
		words = d.answer.Detail + "; " + words
	}
	d.answer.Detail = reason.CleanTo(words, maxDetail)
}

// At sets when it happened, unless that is not known.
func (d *Draft) At(t time.Time) {
	if !t.IsZero() {
		d.answer.When = metav1.NewTime(t.UTC().Truncate(time.Second))
	}
}

// When returns when it happened; zero if that is not known.
func (d *Draft) When() time.Time { return d.answer.When.Time }

// KernelLog sets the end of the console. Its lines are clean and bounded already.
func (d *Draft) KernelLog(lines []string) { d.answer.KernelLog = lines }

// Answer returns what [Asker.Ask] does. A failure that may pass is a reason to ask again, even if
// another call answered.
func (d *Draft) Answer() (v1alpha1.CloudAnswer, error) {
	var all []error
	later := d.later
	for _, f := range d.failed {
		all = append(all, f.wait())
		later = later || f.passing()
	}
	switch {
	case len(d.answer.Sources) == 0:
		return d.answer, errors.Join(all...)
	case !later:
		return d.answer, nil
	case len(all) == 0:
		return d.answer, ErrNotYet
	default:
		return d.answer, fmt.Errorf("%w: %w", ErrNotYet, errors.Join(all...))
	}
}
