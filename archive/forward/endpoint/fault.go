package endpoint

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A Cause is why a request failed, and so what is to be done.
type Cause string

// The causes.
const (
	// Unreachable is a receiver without a complete answer in time: send it again.
	Unreachable Cause = "unreachable"
	// Busy is a receiver that wants to be left alone for a while.
	Busy Cause = "busy"
	// Failing is a receiver with a fault of its own: send it again.
	Failing Cause = "failing"
	// Misconfigured is a request that does not get through to what receives, whatever is sent: a
	// person has to do something.
	Misconfigured Cause = "misconfigured"
	// Refused is a receiver that does not take what was sent: it will not take it later.
	Refused Cause = "refused"
)

// Causes are all of them.
func Causes() []Cause { return []Cause{Unreachable, Busy, Failing, Misconfigured, Refused} }

// A Fault is the error of a request.
type Fault struct {
	Because Cause
	// After is how long the receiver wants to be left alone; 0 if it does not say.
	After time.Duration
	What  string
}

func (f *Fault) Error() string { return f.What }

// causes are those of statuses that are no 2xx; [Failing] if none is here and it is no 4xx.
var causes = map[int]Cause{
	http.StatusBadRequest: Refused, http.StatusRequestEntityTooLarge: Refused,
	http.StatusUnprocessableEntity: Refused,
	http.StatusTooManyRequests:     Busy, http.StatusServiceUnavailable: Busy,
	http.StatusRequestTimeout: Unreachable, http.StatusTooEarly: Unreachable,
}

func causeOf(status int) Cause {
	if cause, ok := causes[status]; ok {
		return cause
	}
	if status < http.StatusInternalServerError {
		return Misconfigured
	}
	return Failing
}

// maxAfter bounds for how long a receiver can send us away.
const maxAfter = time.Hour

// after reads Retry-After (RFC 9110, section 10.2.3).
func after(value string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return max(0, min(wait, maxAfter))
}

const (
	// maxWords bounds what is repeated of what a receiver says, and minSecret the length from which
	// a part of it is taken for a secret of ours.
	maxWords  = 200
	minSecret = 4
)

// words is what others have written, as it can be logged: without the secrets.
func (s settings) words(text string) string {
	for _, secret := range s.secrets() {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return reason.CleanTo(text, maxWords)
}

// unreached is the fault of a request without an answer. The error of net/http has the URL in it,
// which may be the secret.
func (s settings) unreached(err error) *Fault {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	return &Fault{Because: Unreachable, What: "no answer: " + s.words(err.Error())}
}
