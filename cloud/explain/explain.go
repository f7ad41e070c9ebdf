// Package explain is what the programs that ask a cloud have in common: which instance is asked
// about, what an answer is, and how one that is not there yet differs from one that never comes.
package explain

import (
	"context"
	"errors"
	"time"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// An Instance is a machine that is gone from the cluster.
type Instance struct {
	// ProviderID is the Node's spec.providerID, such as aws:///eu-west-1a/i-0123456789abcdef0.
	ProviderID string
	// Node is the name that the Node had.
	Node string
	// Gone is when the Node left the cluster.
	Gone time.Time
}

// An Asker asks one cloud, with rights that only read.
type Asker interface {
	// Cloud returns the word before "://" in the provider IDs that it knows.
	Cloud() string
	// Ask returns what the cloud says of the end of an instance, by as few calls as that takes.
	//
	// A call that is refused, or fails, while another one answers is named in Unanswered, and is no
	// error. Errors are: [ErrNotYet] with the answer so far, [ErrNotOurs], and whatever kept every
	// call from an answer; [After] tells when the cloud wants to be asked again.
	Ask(ctx context.Context, i Instance) (v1alpha1.CloudAnswer, error)
}

var (
	// ErrNotYet says that the cloud may know more later: the instance still runs, or its log of
	// calls lags behind. It comes with the answer so far.
	ErrNotYet = errors.New("the cloud does not know yet")
	// ErrNotOurs says that a provider ID is not of this cloud, or not of its form.
	ErrNotOurs = errors.New("not an instance of this cloud")
)

// A WaitError is a refusal that says when to ask again: the cloud throttles.
type WaitError struct {
	// Wait is how long not to ask.
	Wait time.Duration
	// Err is the cloud's word.
	Err error
}

func (e *WaitError) Error() string { return e.Err.Error() }

func (e *WaitError) Unwrap() error { return e.Err }

// After returns how long the cloud wants not to be asked because of err; 0 if it does not say.
func After(err error) time.Duration {
	var wait *WaitError
	if errors.As(err, &wait) {
		return wait.Wait
	}
	return 0
}
