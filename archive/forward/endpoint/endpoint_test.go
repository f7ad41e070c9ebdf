package endpoint_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
)

var now = time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC)

func at(t *testing.T, files map[string]string) *endpoint.Endpoint {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &endpoint.Endpoint{Dir: dir, Timeout: 20 * time.Second, Clock: clocktesting.NewFakePassiveClock(now)}
}

func post(t *testing.T, e *endpoint.Endpoint, body string) *endpoint.Fault {
	t.Helper()
	_, err := e.Post(t.Context(), "application/json", []byte(body))
	if err == nil {
		return nil
	}
	var fault *endpoint.Fault
	if !errors.As(err, &fault) {
		t.Fatalf("%v is no fault", err)
	}
	return fault
}

func certificate(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	status, header := 0, http.Header{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	e := at(t, map[string]string{"url": s.URL, "ca.crt": certificate(s)})
	for answered, want := range map[int]endpoint.Cause{
		200: "", 202: "", 204: "", 301: endpoint.Misconfigured, 304: endpoint.Misconfigured, 400: endpoint.Refused,
		401: endpoint.Misconfigured, 403: endpoint.Misconfigured, 404: endpoint.Misconfigured,
		405: endpoint.Misconfigured, 408: endpoint.Unreachable, 410: endpoint.Misconfigured,
		413: endpoint.Refused, 415: endpoint.Misconfigured, 422: endpoint.Refused, 425: endpoint.Unreachable,
		429: endpoint.Busy, 500: endpoint.Failing, 502: endpoint.Failing, 503: endpoint.Busy, 504: endpoint.Failing,
		599: endpoint.Failing,
	} {
		status = answered
		if got := because(post(t, e, "{}")); got != want {
			t.Errorf("%d: %q, want %q", answered, got, want)
		}
	}
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "0": 0, "-1": 0, "soon": 0, "4000000000": time.Hour, "99999999999999999999": 0,
		"Fri, 20 Nov 2026 12:00:30 GMT": 30 * time.Second, "Fri, 20 Nov 2026 11:00:30 GMT": 0,
		"Fri, 20 Nov 2030 12:00:30 GMT": time.Hour,
	} {
		status = http.StatusTooManyRequests
		header.Set("Retry-After", value)
		if fault := post(t, e, "{}"); fault == nil || fault.After != want {
			t.Errorf("Retry-After %q: %+v, want %s", value, fault, want)
		}
	}
}

func because(f *endpoint.Fault) endpoint.Cause {
	if f == nil {
		return ""
	}
	return f.Because
}

// What was meant for one host goes to no other, with what it wants to see.
func TestNoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	fault := post(t, at(t, map[string]string{"url": s.URL, "token": "t", "ca.crt": certificate(s)}), "{}")
	if because(fault) != endpoint.Misconfigured || reached {
		t.Errorf("%v; the other host was reached: %t", fault, reached)
	}
}

// A certificate counts only if the authority is known, and only for its host.
func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	fault := post(t, at(t, map[string]string{"url": s.URL}), "{}")
	if because(fault) != endpoint.Unreachable || !strings.Contains(fault.What, "certificate") {
		t.Errorf("an unknown authority: %v", fault)
	}
	elsewhere := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	fault = post(t, at(t, map[string]string{"url": elsewhere, "ca.crt": certificate(s)}), "{}")
	if because(fault) != endpoint.Unreachable || !strings.Contains(fault.What, "certificate") {
		t.Errorf("another host's certificate: %v", fault)
	}
	// The files are read anew for each request.
	e := at(t, map[string]string{"url": s.URL})
	if fault := post(t, e, "{}"); because(fault) != endpoint.Unreachable {
		t.Errorf("before: %v", fault)
	}
	if err := os.WriteFile(filepath.Join(e.Dir, "ca.crt"), []byte(certificate(s)), 0o600); err != nil {
		t.Fatal(err)
	}
	if fault := post(t, e, "{}"); because(fault) != endpoint.Misconfigured || !strings.Contains(fault.What, "404") {
		t.Errorf("after: %v", fault)
	}
}

func TestFilesThatAreWrong(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"none":          {nil, "write the receiver's URL into the key url of its Secret"},
		"empty":         {map[string]string{"url": " \n"}, "write the receiver's URL into the key url of its Secret"},
		"no URL":        {map[string]string{"url": "hunter2:%%"}, "url is no URL: write one such as https://events.example.com/epitaph"},
		"no host":       {map[string]string{"url": "https:///hunter2"}, "url is no URL: write one such as https://events.example.com/epitaph"},
		"another":       {map[string]string{"url": "file:///hunter2"}, "url is no URL: write one such as https://events.example.com/epitaph"},
		"plain":         {map[string]string{"url": "http://x.example/hunter2"}, "url begins with http: write one with https, or set plainHTTP if what lies between may read along"},
		"user":          {map[string]string{"url": "https://u:hunter2@x.example"}, "url has a user in it: write the credentials into token or headers"},
		"token":         {map[string]string{"url": "https://x.example", "token": "hunter2\nX: y"}, "token is no token: write one line without control characters"},
		"header":        {map[string]string{"url": "https://x.example", "headers": "A: b\nhunter2"}, "line 2 of headers is no header: write Name: value"},
		"header's name": {map[string]string{"url": "https://x.example", "headers": "a b: hunter2"}, "line 1 of headers is no header: write Name: value"},
		"authority":     {map[string]string{"url": "https://x.example", "ca.crt": "hunter2"}, "ca.crt has no certificate: write the receiver's authority as PEM"},
		"certificate":   {map[string]string{"url": "https://x.example", "tls.key": "hunter2"}, "tls.crt and tls.key are no certificate with its key: write both as PEM"},
	} {
		fault := post(t, at(t, tc.files), "{}")
		if because(fault) != endpoint.Misconfigured || !strings.HasSuffix(fault.What, tc.want) {
			t.Errorf("%s: %v", name, fault)
		} else if strings.Contains(fault.What, secret) {
			t.Errorf("%s: the error has the secret in it: %v", name, fault)
		}
	}
}

// Nobody learns the secrets from an error: not if there is no answer, nor if they are sent back.
func TestErrorsHaveNoSecret(t *testing.T) {
	t.Parallel()
	echo := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.URL.String()+r.Header.Get("Authorization")+r.Header.Get("X-Key")+"\x1b[2J", http.StatusBadRequest)
	}))
	defer echo.Close()
	for name, url := range map[string]string{"echo": echo.URL, "nobody": "https://127.0.0.1:1"} {
		e := at(t, map[string]string{"url": url + "/a/hunter1?key=hunter2", "token": "hunter3",
			"headers": "X-Key: hunter4", "ca.crt": certificate(echo)})
		fault := post(t, e, "{}")
		if fault == nil || strings.Contains(fault.What, "hunter") || strings.Contains(fault.What, "\x1b") ||
			len(fault.What) > 300 {
			t.Errorf("%s: %v", name, fault)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	endless := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	e := at(t, map[string]string{"url": endless.URL, "ca.crt": certificate(endless)})
	if fault := post(t, e, "{}"); because(fault) != endpoint.Failing {
		t.Errorf("an answer without end: %v", fault)
	}
	if fault := post(t, e, strings.Repeat("x", endpoint.MaxBytes+1)); because(fault) != endpoint.Refused {
		t.Errorf("more than is sent: %v", fault)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Post(ctx, "text/plain", nil); err == nil {
		t.Error("sent although its caller was gone")
	}
}
