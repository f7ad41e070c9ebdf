package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parentVariable makes the test binary a parent that starts a child in the folder it names, and
// then waits to be killed.
const parentVariable = "SANDBOX_TEST_PARENT"

func TestMain(m *testing.M) {
	if logs := os.Getenv(parentVariable); logs != "" {
		p, err := newNursery().launch("sleep", "sleep", logs, "600")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.PID())
		select {}
	}
	os.Exit(m.Run())
}

func TestChildDiesWithItsKilledParent(t *testing.T) {
	t.Parallel()
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Sscan(line, &child); err != nil {
		t.Fatalf("the parent says %q", line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for began := time.Now(); running(child); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("child %d outlives its killed parent", child)
		}
	}
}

// running is false for a zombie, too: an orphan is reaped by whoever is process 1 here, or by
// nobody.
func running(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestReadinessThatNeverComes(t *testing.T) {
	t.Parallel()
	n := newNursery()
	t.Cleanup(n.close)
	for name, test := range map[string]struct{ script, want string }{
		"it ends": {"echo no such flag; exit 3",
			"it-ends ended before it was ready (exit status 3)"},
		"it hangs": {"echo still thinking; sleep 600",
			"it-hangs was not ready within 500ms: not yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := n.launch(strings.ReplaceAll(name, " ", "-"), "sh", t.TempDir(),
				"-c", test.script)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Kill()
			err = p.ready(t.Context(), 500*time.Millisecond,
				func(context.Context) error { return errors.New("not yet") })
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("error = %v, want %s...", err, test.want)
			}
			said, _, _ := strings.Cut(strings.TrimPrefix(test.script, "echo "), ";")
			if err != nil && !strings.Contains(err.Error(), "\n"+said) {
				t.Errorf("error = %v, want the last line of the log, %q", err, said)
			}
		})
	}
}

func TestTailIsWholeLinesAndBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("a line of the log\n", 1000)+"the last\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	tail, err := tailOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(tail) > 2048 || !strings.HasPrefix(tail, "a line") ||
		!strings.HasSuffix(tail, "\nthe last") {
		t.Errorf("tail has %d bytes: %.40q...%q", len(tail), tail, tail[len(tail)-20:])
	}
}

func TestTakenNetconsoleAddressIsRefused(t *testing.T) {
	t.Parallel()
	conn := listenUDP(t, hostPort(loopback, 0))
	defer conn.Close()
	taken := conn.LocalAddr().String()
	_, err := udpAddress(taken)
	want := "netconsole's address " + taken +
		" is taken by another program: stop that, or choose another address"
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] || port < 20000 || port > 32767 {
			t.Errorf("port %d is drawn twice or out of range", port)
		}
		seen[port] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d ports, want 20", len(seen))
	}
}

func listenUDP(t *testing.T, address string) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
