package logind

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// pair returns two ends of a socket.
func pair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ours, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr)); err != nil {
		t.Fatal(err)
	}
	if theirs, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return ours, theirs
}

// Of the file descriptors that come, only the last is kept: that of the message that was read last.
func TestTaker(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	folder := t.TempDir()
	for _, name := range []string{"somebody's", "more", "logind's"} {
		f, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fds := []int{int(f.Fd())}
		if name == "more" {
			fds = append(fds, fds[0], fds[0])
		}
		if _, _, err := theirs.WriteMsgUnix([]byte("message"), unix.UnixRights(fds...),
			nil); err != nil {
			t.Fatal(err)
		}
	}
	in := &taker{socket: ours}
	for range 3 {
		// A message is read in parts.
		if _, err := io.ReadFull(in, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(in, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := in.last()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(got.Fd()))); err != nil ||
		at != filepath.Join(folder, "logind's") {
		t.Errorf("kept %s, %v", at, err)
	}
	if _, err := in.last(); err == nil {
		t.Error("there is another")
	}
	_ = theirs.Close()
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}
