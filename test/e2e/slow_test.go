package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// 400 bodies of which all but a byte is sent hold little memory, and no deletion up.
func TestHalfSentReviewsHoldLittle(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: alone}})
	ns, node := c.namespace(t), c.node(t).Name
	const pods, maxResident = 10, 700 << 20
	for n := range pods {
		c.pod(t, ns, node, fmt.Sprintf("p%d", n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var attack sync.WaitGroup
	defer attack.Wait()
	defer cancel()
	// Its address is another one than the API server's.
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	//nolint:gosec // the sandbox's own certificate
	attacker := &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	url := "https://" + c.Epitaph.Config.Webhook.Address + webhook.Path
	for range 400 {
		attack.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, halfSent(ctx))
				if err != nil {
					return
				}
				r.Header.Set("Content-Type", "application/json")
				if answer, err := attacker.Do(r); err == nil {
					_ = answer.Body.Close()
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second): // the machine is ours, too
				}
			}
		})
	}
	c.eventually(t, "the attack is refused", func(context.Context) (bool, error) {
		return c.metric(t, webhook.MetricMalformed) > 20, nil
	})
	for n := range pods {
		if err := c.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(), fmt.Sprintf("p%d", n),
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.leaves(t, reason.Pod, fmt.Sprintf("%s/p%d", ns, n), unexplained)
	}
	if resident := c.metric(t, "process_resident_memory_bytes"); resident > maxResident {
		t.Errorf("the manager has %.0f bytes, want at most %d", resident, maxResident)
	}
}

// halfSent is a body of 3 MiB whose last byte never comes, until it is given up.
func halfSent(ctx context.Context) io.ReadCloser {
	ended, stop := context.WithCancel(ctx)
	rest, unsent := io.Pipe()
	context.AfterFunc(ended, func() { _ = unsent.CloseWithError(io.ErrUnexpectedEOF) })
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(make([]byte, 3<<20-1)), rest), closer(stop)}
}

type closer func()

func (c closer) Close() error {
	c()
	return nil
}

// More visitors than there are seats send their form and never end: others are answered meanwhile.
func TestSlowLoginsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	address := shared.Epitaph.Config.Page.Address
	for range 40 {
		//nolint:gosec // the sandbox's own certificate
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true,
			NextProtos: []string{"http/1.1"}}}
		connection, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		const half = "POST /login HTTP/1.1\r\nHost: epitaph\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 900\r\n\r\ntoken="
		if _, err := io.WriteString(connection, half); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if got := shared.visit(t, http.MethodGet, "/login", "", nil); got.status != http.StatusOK {
			t.Fatalf("the form is answered with %d", got.status)
		}
	}
}
