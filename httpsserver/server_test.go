package httpsserver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

const (
	// shortly is the limit where silence is to end something, leisurely where nothing may be cut
	// off on a slow machine.
	shortly   = 500 * time.Millisecond
	leisurely = 20 * time.Second
)

// serving starts a server that answers with the length of what it is sent, and returns its address.
func serving(t *testing.T, limit time.Duration, bodies *Bodies) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	s := &Server{
		Name: "test", Address: address,
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate(t)},
			MinVersion: tls.VersionTLS12},
		ReadTimeout: limit, WriteTimeout: 10 * limit, StopTimeout: shortly, MaxHeaderBytes: 8 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, release, err := bodies.Read(w, r)
			defer release()
			switch {
			case errors.Is(err, ErrFull):
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			case err != nil:
				http.Error(w, err.Error(), http.StatusBadRequest)
			default:
				fmt.Fprint(w, len(body))
			}
		}),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the server listens", func() bool { return s.Listening() })
	return address
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1),
		NotAfter: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for tick, limit := time.NewTicker(10*time.Millisecond), time.After(patience); !is(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// dial connects from an address of this machine's own network.
func dial(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// client sends requests from an address, by HTTP/2 or by HTTP/1.1.
func client(from string, http2 bool) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: d.DialContext, ForceAttemptHTTP2: http2,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as above
	}}
}

func post(t *testing.T, c *http.Client, address string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(said)
}

// A slow body sends something, and then nothing until it is closed.
type slow struct {
	first io.Reader
	ended context.Context
	stop  context.CancelFunc
}

func slowBody(ctx context.Context, first io.Reader) slow {
	ended, stop := context.WithCancel(ctx)
	return slow{first, ended, stop}
}

func (s slow) Read(b []byte) (int, error) {
	n, err := s.first.Read(b)
	if errors.Is(err, io.EOF) {
		<-s.ended.Done()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (s slow) Close() error {
	s.stop()
	return nil
}

// A silent connection is ended, wherever in the exchange it falls silent.
func TestWhoFallsSilentIsDisconnected(t *testing.T) {
	t.Parallel()
	address := serving(t, shortly, &Bodies{MaxBytes: 1 << 20, TotalBytes: 8 << 20})
	for name, said := range map[string]string{
		"before the handshake": "",
		"before the header":    "",
		"in the header":        "POST / HTTP/1.1\r\nHost: x\r\nX-",
		"in the body":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connection := dial(t, "127.0.0.1", address)
			if name != "before the handshake" {
				//nolint:gosec // its certificate is the test's own
				connection = tls.Client(connection, &tls.Config{InsecureSkipVerify: true,
					NextProtos: []string{"http/1.1"}})
				// This ends the handshake, too. Where the machine is so slow that the server gave
				// up meanwhile, that is as good.
				_, _ = io.WriteString(connection, said)
			}
			answer, err := io.ReadAll(connection)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Errorf("the connection is held (%q)", answer)
			}
		})
	}
}

// The same for a stream of HTTP/2, whose connection lives on.
func TestStreamThatFallsSilentIsEnded(t *testing.T) {
	t.Parallel()
	bodies := &Bodies{MaxBytes: 1 << 20, TotalBytes: 8 << 20}
	address, c := serving(t, shortly, bodies), client("127.0.0.1", true)
	if status, said := post(t, c, address, slowBody(t.Context(),
		strings.NewReader("{"))); status == http.StatusOK {
		t.Errorf("half a body is answered with %d %s", status, said)
	}
	eventually(t, "a whole one is answered", func() bool {
		status, said := post(t, c, address, strings.NewReader("{}"))
		return status == http.StatusOK && said == "2"
	})
	eventually(t, "nothing is held", func() bool { return bodies.held() == 0 })
}

func (b *Bodies) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken
}

// However many half bodies one host sends, what they hold is bounded, and others are answered
// meanwhile.
func TestHalfBodiesOfOneHostKeepNobodyOut(t *testing.T) {
	t.Parallel()
	const total = 4 << 20
	bodies := &Bodies{MaxBytes: 1 << 20, TotalBytes: total}
	address := serving(t, leisurely, bodies)
	ctx, cancel := context.WithCancel(t.Context())
	var attack sync.WaitGroup
	defer attack.Wait()
	defer cancel()
	attacker := client("127.0.0.2", true)
	refused := make(chan struct{}, 1)
	for range 100 {
		attack.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(ctx, http.MethodPost,
					"https://"+address+"/", slowBody(ctx, bytes.NewReader(make([]byte, 1<<20-1))))
				if err != nil {
					return
				}
				answer, err := attacker.Do(r)
				if err != nil {
					continue
				}
				if answer.StatusCode == http.StatusServiceUnavailable {
					select {
					case refused <- struct{}{}:
					default:
					}
				}
				_ = answer.Body.Close()
			}
		})
	}
	select {
	case <-refused:
	case <-time.After(patience):
		t.Fatal("none of the attackers is refused")
	}
	honest := client("127.0.0.3", true)
	for range 20 {
		if held := bodies.held(); held > total/2+1<<20 {
			t.Errorf("%d bytes are held, want at most half of %d and one body", held, total)
		}
		if status, said := post(t, honest, address,
			strings.NewReader(strings.Repeat("x",
				100_000))); status != http.StatusOK || said != "100000" {
			t.Errorf("another host is answered with %d %s", status, said)
		}
	}
}

func TestConnectionsOfOneHostKeepNobodyOut(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	const most = 8
	l := limit(inner, most)
	accepted := make(chan net.Conn, 4*most)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var first []net.Conn
	for range 2 * most {
		dial(t, "127.0.0.2", inner.Addr().String())
	}
	for range most / 2 {
		first = append(first, <-accepted)
	}
	dial(t, "127.0.0.3", inner.Addr().String())
	if c := <-accepted; hostOf(c.RemoteAddr().String()) != "127.0.0.3" {
		t.Errorf("a connection more of %s is accepted", c.RemoteAddr())
	}
	_ = first[0].Close()
	_ = first[0].Close() // twice is once
	dial(t, "127.0.0.2", inner.Addr().String())
	if c := <-accepted; hostOf(c.RemoteAddr().String()) != "127.0.0.2" {
		t.Errorf("%s is accepted", c.RemoteAddr())
	}
	if l.open != most/2+1 {
		t.Errorf("%d connections are counted, want %d", l.open, most/2+1)
	}
}

func TestBodiesAreRead(t *testing.T) {
	t.Parallel()
	bodies := &Bodies{MaxBytes: 1 << 20, TotalBytes: 8 << 20}
	address, c := serving(t, leisurely, bodies), client("127.0.0.1", false)
	for _, n := range []int{0, 1, stepBytes - bytes.MinRead, stepBytes, stepBytes + 1,
		3*stepBytes + 7, 1 << 20} {
		if status, said := post(t, c, address,
			bytes.NewReader(make([]byte, n))); status != http.StatusOK || said != fmt.Sprint(n) {
			t.Errorf("%d bytes are answered with %d %s", n, status, said)
		}
	}
	if status, _ := post(t, c, address,
		bytes.NewReader(make([]byte, 1<<20+1))); status != http.StatusBadRequest {
		t.Errorf("a byte too many is answered with %d", status)
	}
	eventually(t,
		"nothing is held", func() bool { return bodies.held() == 0 && len(bodies.by) == 0 })
}
