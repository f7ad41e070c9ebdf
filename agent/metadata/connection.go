package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout is long for a link-local address, where nothing is lost on the way.
	dialTimeout = 2 * time.Second
	// maxBody bounds an answer: Azure lists the events of a whole scale set, with the names of all
	// machines concerned.
	maxBody = 256 << 10
	// maxHeader bounds the header of an answer.
	maxHeader = 16 << 10
	// idle is longer than any period, so that one connection serves all requests.
	idle = 2 * time.Minute
)

// A connection is one to a metadata service.
type connection struct {
	// base is the service's "http://address", without a path.
	base string
	http *http.Client
	// host, if set, is the name by which the service is asked.
	host string
}

func newConnection(base string) connection {
	return connection{base: base, http: &http.Client{
		// Somebody who redirects us would have us tell a token to another address.
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			// A proxy of the environment would ask its own machine's service.
			Proxy:                  nil,
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        idle,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
	}}
}

// close ends the connections that are kept.
func (c connection) close() { c.http.CloseIdleConnections() }

// An answer is one of the service.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// A statusError is an answer that is none.
type statusError struct {
	path   string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s is answered with %d %s", e.path, e.status, http.StatusText(e.status))
}

var errTooLong = fmt.Errorf("the answer has more than %d bytes", maxBody)

// ask asks one question. Whatever the status, the answer is no error.
func (c connection) ask(ctx context.Context, timeout time.Duration, method, path string,
	header map[string]string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return answer{}, fmt.Errorf("ask for %s: %w", path, err)
	}
	for key, value := range header {
		request.Header.Set(key, value)
	}
	request.Host = c.host
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = errTooLong
	}
	if err != nil {
		return answer{}, fmt.Errorf("read %s: %w", path, err)
	}
	return answer{response.StatusCode, response.Header, body}, nil
}

// get asks for a path. The body is nil if the service says that it has no such thing.
func (c connection) get(ctx context.Context, timeout time.Duration, path string,
	header map[string]string) (answer, error) {
	a, err := c.ask(ctx, timeout, http.MethodGet, path, header)
	switch {
	case err != nil:
		return answer{}, err
	case a.status == http.StatusNotFound:
		return answer{status: a.status}, nil
	case a.status != http.StatusOK:
		return answer{status: a.status}, &statusError{path, a.status}
	}
	return a, nil
}

// refused reports whether the service answered with this status.
func refused(err error, status int) bool {
	e := (*statusError)(nil)
	return errors.As(err, &e) && e.status == status
}
