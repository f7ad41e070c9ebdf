package main

import (
	"crypto/tls"
	"net/http"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/epitaph-k8s/epitaph/config"
)

const (
	// maxReaders bounds how many requests for the metrics are answered at a time. Two Prometheus
	// servers ask twice in half a minute.
	maxReaders = 8
	// readersQPS and readersBurst bound what readers make us ask the API server, a second and at
	// once. It counts as ours, so a stranger who tries tokens must not use up what deletions need.
	readersQPS   = 5
	readersBurst = 20
	// maxAuthorizationBytes bounds a token before anybody is asked about it. A service account's
	// has about 1,000.
	maxAuthorizationBytes = 8 << 10
	// errorsPerMinute bounds how often a reader who cannot be authenticated is logged: a token that
	// the API server does not know is such an error, too.
	errorsPerMinute = 1
)

// metricsOptions serve the metrics as c says.
func metricsOptions(c config.Metrics) metricsserver.Options {
	o := metricsserver.Options{BindAddress: c.Address}
	if c.Secure {
		o.SecureServing, o.CertDir, o.FilterProvider = true, c.CertDir, readersOnly
		o.TLSOpts = []func(*tls.Config){func(t *tls.Config) {
			t.MinVersion, t.NextProtos = tls.VersionTLS12, []string{"h2", "http/1.1"}
		}}
	}
	return o
}

// readersOnly serves those who may get the path according to the API server. Its requests do not
// count against those of the manager.
func readersOnly(c *rest.Config, h *http.Client) (metricsserver.Filter, error) {
	c = rest.CopyConfig(c)
	c.QPS, c.Burst, c.RateLimiter = readersQPS, readersBurst, nil
	filter, err := filters.WithAuthenticationAndAuthorization(c, h)
	if err != nil {
		return nil, err
	}
	return func(log logr.Logger, handler http.Handler) (http.Handler, error) {
		filtered, err := filter(seldom(log, clock.RealClock{}), handler)
		return bounded(filtered), err
	}, nil
}

// bounded turns away those for whom there is no room, and tokens that are none.
func bounded(handler http.Handler) http.Handler {
	seats := make(chan struct{}, maxReaders)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header.Get("Authorization")) > maxAuthorizationBytes {
			http.Error(w, "the token is too long", http.StatusUnauthorized)
			return
		}
		select {
		case seats <- struct{}{}:
			defer func() { <-seats }()
			handler.ServeHTTP(w, r)
		default:
			http.Error(w, "too many requests are being answered", http.StatusServiceUnavailable)
		}
	})
}

// seldom logs an error now and then: strangers cause as many as they like.
func seldom(log logr.Logger, c clock.PassiveClock) logr.Logger {
	return log.WithSink(seldomSink{log.GetSink(),
		flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(errorsPerMinute/60., 1, c)})
}

type seldomSink struct {
	logr.LogSink
	may flowcontrol.PassiveRateLimiter
}

// Error logs it, or nothing.
func (s seldomSink) Error(err error, msg string, keysAndValues ...any) {
	if s.may.TryAccept() {
		s.LogSink.Error(err, msg, keysAndValues...)
	}
}
