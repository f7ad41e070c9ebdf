package endpoint

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
	"k8s.io/utils/clock"
)

const (
	// MaxBytes bounds what is sent in one request.
	MaxBytes = 1 << 20
	// maxAnswerBytes bounds what is read of an answer, and of its header.
	maxAnswerBytes = 64 << 10
	// idle is how long a connection is kept.
	idle = 90 * time.Second
)

// An Endpoint is where a receiver is.
type Endpoint struct {
	// Dir has the files: url and, as far as there are, token, headers, ca.crt, tls.crt and tls.key.
	Dir string
	// Timeout bounds a request, up to the end of its answer.
	Timeout time.Duration
	// PlainHTTP permits a URL with http.
	PlainHTTP bool
	Clock     clock.PassiveClock

	mu     sync.Mutex
	made   settings // those that the client was made of
	client *http.Client
}

// An Answer is that of a receiver that has taken what was sent.
type Answer struct {
	ContentType string
	Body        []byte
}

// Post sends a body. The error is a [*Fault].
func (e *Endpoint) Post(ctx context.Context, contentType string, body []byte) (Answer, error) {
	if len(body) > MaxBytes {
		return Answer{}, &Fault{Because: Refused,
			What: fmt.Sprintf("it has %d bytes, of which no more than %d are sent", len(body), MaxBytes)}
	}
	s, err := read(e.Dir)
	if err != nil {
		return Answer{}, &Fault{Because: Misconfigured, What: err.Error()}
	}
	request, err := e.request(s, contentType, body)
	if err != nil {
		return Answer{}, &Fault{Because: Misconfigured, What: err.Error()}
	}
	client, err := e.connected(s)
	if err != nil {
		return Answer{}, &Fault{Because: Misconfigured, What: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	response, err := client.Do(request.WithContext(ctx))
	if err != nil {
		return Answer{}, s.unreached(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return Answer{}, s.unreached(err)
	}
	if response.StatusCode/100 != 2 {
		return Answer{}, &Fault{Because: causeOf(response.StatusCode),
			After: after(response.Header.Get("Retry-After"), e.Clock.Now()),
			What:  fmt.Sprintf("answered %d %s", response.StatusCode, s.words(string(text)))}
	}
	return Answer{ContentType: response.Header.Get("Content-Type"), Body: text}, nil
}

func (e *Endpoint) request(s settings, contentType string, body []byte) (*http.Request, error) {
	to, err := s.target(e.PlainHTTP)
	if err != nil {
		return nil, err
	}
	header, err := s.header()
	if err != nil {
		return nil, err
	}
	header.Set("Content-Type", contentType)
	header.Set("User-Agent", "epitaph")
	return &http.Request{Method: http.MethodPost, URL: to, Host: to.Host, Header: header,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}, nil
}

// connected returns a client with the settings' certificates.
func (e *Endpoint) connected(s settings) (*http.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client != nil && e.made.ca == s.ca && e.made.cert == s.cert && e.made.key == s.key {
		return e.client, nil
	}
	secured, err := s.tls()
	if err != nil {
		return nil, err
	}
	if e.client != nil {
		e.client.CloseIdleConnections()
	}
	e.made = s
	e.client = &http.Client{
		// What was meant for one receiver goes to no other: a redirect is an answer.
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			Proxy: proxy, TLSClientConfig: secured, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: maxAnswerBytes, MaxIdleConnsPerHost: 1, IdleConnTimeout: idle,
		},
	}
	return e.client, nil
}

// proxy is that of the environment. The error of one that is wrong would have its URL in it.
func proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy of the environment is no URL: set HTTPS_PROXY to one")
	}
	return u, nil
}

func (s settings) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if c.RootCAs, err = s.roots(); err != nil {
		return nil, err
	}
	if s.cert == "" && s.key == "" {
		return c, nil
	}
	pair, err := tls.X509KeyPair([]byte(s.cert), []byte(s.key))
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no certificate with its key: write both as PEM", certFile,
			keyFile)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// roots are the authorities that are believed: those of the Secret, or those of the system. The
// image has none: there they are those that Mozilla believes, as of the program's build.
func (s settings) roots() (*x509.CertPool, error) {
	if s.ca != "" {
		own := x509.NewCertPool()
		if !own.AppendCertsFromPEM([]byte(s.ca)) {
			return nil, fmt.Errorf("%s has no certificate: write the receiver's authority as PEM", caFile)
		}
		return own, nil
	}
	system, err := x509.SystemCertPool()
	if err == nil && !system.Equal(x509.NewCertPool()) {
		return system, nil
	}
	public := x509.NewCertPool()
	for root := range bundle.Roots() {
		authority, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("read the public authorities: %w", err)
		}
		if root.Constraint == nil {
			public.AddCert(authority)
		} else {
			public.AddCertWithConstraint(authority, root.Constraint)
		}
	}
	return public, nil
}
