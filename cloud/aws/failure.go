package aws

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// failure says why a call brought no answer: in AWS's words, if it replied.
func failure(call string, err error) *explain.Failure {
	f := &explain.Failure{Call: call, Words: err.Error(), Err: err}
	var reply *awshttp.ResponseError
	if errors.As(err, &reply) && reply.Response != nil {
		f.Status = reply.HTTPStatusCode()
		f.Wait = retryAfter(reply.Response.Header)
		f.Throttled = f.Status == http.StatusTooManyRequests
	}
	var said smithy.APIError
	if errors.As(err, &said) {
		f.Words = said.ErrorCode() + ": " + said.ErrorMessage()
		_, throttled := retry.DefaultThrottleErrorCodes[said.ErrorCode()]
		f.Throttled = f.Throttled || throttled
	}
	return f
}

// retryAfter reads the header in seconds, which is the form that AWS uses.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// code returns AWS's word for an error; empty if it has none.
func code(err error) string {
	var said smithy.APIError
	if errors.As(err, &said) {
		return said.ErrorCode()
	}
	return ""
}
