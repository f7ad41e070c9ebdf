package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/config"
)

// asked is how a handler answers a request with this token.
func asked(t *testing.T, h http.Handler, token string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	return answer.Code
}

func TestReadersOfMetricsAreBounded(t *testing.T) {
	t.Parallel()
	seated, leave := make(chan struct{}), make(chan struct{})
	h := bounded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		seated <- struct{}{}
		<-leave
	}))
	answers := make(chan int)
	for range maxReaders {
		go func() { answers <- asked(t, h, "a") }()
		<-seated
	}
	if got := asked(t, h, "a"); got != http.StatusServiceUnavailable {
		t.Errorf("one more is answered with %d", got)
	}
	if got := asked(t, h, strings.Repeat("a",
		maxAuthorizationBytes)); got != http.StatusUnauthorized {
		t.Errorf("a token that is too long is answered with %d", got)
	}
	close(leave)
	for range maxReaders {
		if got := <-answers; got != http.StatusOK {
			t.Errorf("who had a seat is answered with %d", got)
		}
	}
}

// A stranger brings about as many errors as they like.
func TestReadersWithoutARightDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	lines := 0
	c := testingclock.NewFakePassiveClock(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	log := seldom(funcr.New(func(string, string) { lines++ }, funcr.Options{}), c)
	for range 100 {
		log.Error(errors.New("no such token"), "Authentication failed")
	}
	if lines != 1 {
		t.Errorf("100 errors at once are logged %d times", lines)
	}
	c.SetTime(c.Now().Add(time.Minute))
	if log.Error(errors.New("forbidden"), "Authentication failed"); lines != 2 {
		t.Errorf("after a minute %d are logged", lines)
	}
}

func TestMetricsArePlainOnlyWhereTheConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	if o := metricsOptions(config.Default().Metrics); !o.SecureServing || o.FilterProvider == nil {
		t.Errorf("by default anybody reads them: %+v", o)
	}
	o := metricsOptions(config.Metrics{Address: ":1"})
	if o.SecureServing || o.FilterProvider != nil || o.BindAddress != ":1" {
		t.Errorf("they are not plain: %+v", o)
	}
}
