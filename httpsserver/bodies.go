package httpsserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// ErrFull is returned if the memory for bodies is used up. The caller may try again.
var ErrFull = errors.New("too many requests are being read at once")

// stepBytes is the least memory that a body claims at a time: it claims as bytes arrive, never for
// what a caller merely announces.
const stepBytes = 32 << 10

// Bodies bounds the total memory of all request bodies.
type Bodies struct {
	// MaxBytes bounds one body, TotalBytes all of them; one address gets half of TotalBytes.
	MaxBytes   int64
	TotalBytes int64

	mu    sync.Mutex
	taken int64
	by    map[string]int64
}

// Read reads the body of r. Its bytes count until the caller, when done with them, calls release.
// The error wraps [ErrFull], *http.MaxBytesError, or the error of reading.
func (b *Bodies) Read(w http.ResponseWriter,
	r *http.Request) (body []byte, release func(), err error) {
	claim := &claim{bodies: b, host: hostOf(r.RemoteAddr)}
	body, err = claim.read(http.MaxBytesReader(w, r.Body, b.MaxBytes), r.ContentLength)
	if err != nil {
		claim.release()
		return nil, func() {}, err
	}
	return body, claim.release, nil
}

// A claim is one body's share of the memory.
type claim struct {
	bodies *Bodies
	host   string
	bytes  int64
}

// read reads the body step by step. The buffer doubles as it grows, so the claim is at least its
// capacity.
func (c *claim) read(from io.Reader, announced int64) ([]byte, error) {
	if err := c.grow(stepBytes); err != nil {
		return nil, err
	}
	body := bytes.NewBuffer(make([]byte, 0, min(max(announced, 0)+bytes.MinRead, stepBytes)))
	for {
		if body.Available() < bytes.MinRead {
			more := max(stepBytes, int64(body.Cap()))
			if err := c.grow(more); err != nil {
				return nil, err
			}
			body.Grow(int(more))
		}
		free := body.AvailableBuffer()
		n, err := from.Read(free[:cap(free)])
		body.Write(free[:n])
		switch {
		case errors.Is(err, io.EOF):
			return body.Bytes(), nil
		case err != nil:
			return nil, err
		}
	}
}

func (c *claim) grow(by int64) error {
	b := c.bodies
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken+by > b.TotalBytes || b.by[c.host]+by > b.TotalBytes/2 {
		return fmt.Errorf("%w: %d bytes of bodies are held, at most %d are", ErrFull, b.taken,
			b.TotalBytes)
	}
	if b.by == nil {
		b.by = map[string]int64{}
	}
	b.taken += by
	b.by[c.host] += by
	c.bytes += by
	return nil
}

func (c *claim) release() {
	b := c.bodies
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken -= c.bytes
	if b.by[c.host] -= c.bytes; b.by[c.host] <= 0 {
		delete(b.by, c.host)
	}
	c.bytes = 0
}

// hostOf returns a caller's address without the port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
