package explain

import (
	"net/http"
	"time"
)

const (
	// maxReply bounds the body of a reply. The largest that is asked for is a page of fifty events,
	// of up to 256 KiB each, and in practice some hundred KiB altogether.
	maxReply = 4 << 20
	// callTimeout bounds one attempt of a call, unless the client has its own bound.
	callTimeout = 30 * time.Second
)

// Client returns the HTTP client for an SDK: base, or the default one, with a timeout and with
// replies that are bounded.
func Client(base *http.Client) *http.Client {
	var c http.Client
	if base != nil {
		c = *base
	}
	if c.Timeout == 0 {
		c.Timeout = callTimeout
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = bounded{c.Transport}
	return &c
}

// bounded lets nobody read more than maxReply of a reply.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	reply, err := b.next.RoundTrip(r)
	if err == nil {
		reply.Body = http.MaxBytesReader(nil, reply.Body, maxReply)
	}
	return reply, err
}
