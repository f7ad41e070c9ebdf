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

// ErrFull is returned where the memory for bodies is taken. The caller may try again.
var ErrFull = errors.New("too many requests are being read at once")

// stepBytes is what a body claims of the memory at a time: as it comes, and never for what a caller
// merely announces.
const stepBytes = 32 << 10

// Bodies bounds the memory that the bodies of all requests together take.
type Bodies struct {
	// MaxBytes bounds one body, TotalBytes all of them; one address gets half of TotalBytes.
	MaxBytes   int64
	TotalBytes int64

	mu    sync.Mutex
	taken int64
	by    map[string]int64
}

// Read reads the body of r. The bytes count until release is called, which the caller does when it
// is done with them. The error wraps [ErrFull], or *http.MaxBytesError.
func (b *Bodies) Read(w http.ResponseWriter,
	r *http.Request) (body []byte, release func(), err error) {
	claim := claim{bodies: b, host: hostOf(r.RemoteAddr)}
	body, err = claim.read(http.MaxBytesReader(w, r.Body, b.MaxBytes), r.ContentLength)
	if err != nil {
		claim.release()
		return nil, func() {}, err
	}
	return body, sync.OnceFunc(claim.release), nil
}

// A claim is the part of the memory that one body has.
type claim struct {
	bodies *Bodies
	host   string
	bytes  int64
}

// read takes the body step by step. The buffer doubles as it grows, so what is claimed is at least
// its capacity.
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

// hostOf is the address of a caller without the port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
