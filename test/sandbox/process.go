package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// stopGrace is how long a program has to end after SIGTERM before it is killed.
	stopGrace = 5 * time.Second
	// logTail bounds how much of a program's log an error shows.
	logTail = 2048
)

// A nursery starts child processes that cannot outlive this one. The kernel kills a child when the
// *thread* that started it ends (PR_SET_PDEATHSIG), and Go ends threads as it likes; so all are
// started from one thread that is locked to a goroutine and lives until close.
type nursery struct {
	births chan birth
	closed chan struct{}
}

type birth struct {
	cmd  *exec.Cmd
	done chan<- error
}

func newNursery() *nursery {
	n := &nursery{births: make(chan birth), closed: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			select {
			case b := <-n.births:
				b.done <- b.cmd.Start()
			case <-n.closed:
				return
			}
		}
	}()
	return n
}

// close must come after every child has ended.
func (n *nursery) close() { close(n.closed) }

func (n *nursery) start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	select {
	case n.births <- birth{cmd: cmd, done: done}:
		return <-done
	case <-n.closed:
		return errors.New("the sandbox is stopped")
	}
}

// A Process is a running program of the sandbox.
type Process struct {
	// Name is the program's, LogPath the file that holds all it prints.
	Name, LogPath string

	cmd    *exec.Cmd
	exited chan struct{}
	// err is how it ended, never nil then.
	err error
}

// errEndedWell is how a program ends that was not expected to end, and found nothing wrong with it.
var errEndedWell = errors.New("exit status 0")

// launch starts a program in a process group of its own, so that Ctrl-C on the terminal reaches
// only us, and the programs are stopped in order. Its log is appended to: a restarted program goes
// on in the same file.
func (n *nursery) launch(name, program, logs string, args ...string) (*Process, error) {
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of logs: %w", err)
	}
	p := &Process{Name: name, LogPath: filepath.Join(logs, name+".log"),
		exited: make(chan struct{})}
	log, err := os.OpenFile(p.LogPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer log.Close()
	fmt.Fprintf(log, "$ %s %s\n", program, strings.Join(args, " "))
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = childAttributes()
	if err := n.start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = cmp.Or(p.cmd.Wait(), errEndedWell)
		close(p.exited)
	}()
	return p, nil
}

// Running tells whether the program has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the program has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode is that of a program that has ended; -1 if a signal ended it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Stop asks the program to end, and kills it if it does not.
func (p *Process) Stop() { p.StopWithin(stopGrace) }

// StopWithin is Stop with the caller's patience.
func (p *Process) StopWithin(grace time.Duration) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(grace):
		p.Kill()
	}
}

// Kill ends the program at once (SIGKILL): it gets no chance to hand anything over.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

func (p *Process) signal(sig syscall.Signal) {
	if p.Running() {
		_ = p.cmd.Process.Signal(sig)
	}
}

// ready asks again and again until ready says yes, the program ends, or the time is up; then the
// error holds the program's last words.
func (p *Process) ready(ctx context.Context, limit time.Duration,
	probe func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		last := probe(limited)
		if last == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it was ready (%w)\n%s", p.Name, p.err, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", p.Name, ctx.Err())
		case <-limited.Done():
			return fmt.Errorf("%s was not ready within %s: %w\n%s", p.Name, limit, last,
				p.lastWords())
		case <-time.After(probeInterval):
		}
	}
}

// lastWords is the end of the program's log, whole lines.
func (p *Process) lastWords() string {
	tail, err := tailOf(p.LogPath)
	if err != nil {
		return fmt.Sprintf("(its log cannot be read: %v)", err)
	}
	return fmt.Sprintf("the end of %s:\n%s", p.LogPath, tail)
}

func tailOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	from := max(0, size-logTail)
	tail := make([]byte, size-from)
	if _, err := file.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	text := string(tail)
	if from > 0 {
		_, text, _ = strings.Cut(text, "\n")
	}
	return strings.TrimSpace(text), nil
}
