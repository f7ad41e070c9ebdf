//go:build linux

// Package machine runs a kernel in QEMU, by emulation alone: no machine has to lend its own
// virtualization.
//
// Invariant: a machine ends with the process that started it, or before.
//
// What this package does not do: make the kernel, or what is in its first root.
package machine

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// commandPort is where the guest takes commands.
	commandPort = 9000
	// commandLimit bounds how long it may take to obey. It is no measure of speed.
	commandLimit = 2 * time.Minute
	// poll is between two attempts to reach the machine.
	poll = 100 * time.Millisecond
)

// Options are a machine's.
type Options struct {
	QEMU, Kernel, Initramfs string
	// Parameters of the kernel, of which those that it does not know are its init's environment.
	Parameters map[string]string
	// Tap is the other end of the machine's network device.
	Tap *os.File
	// Address is the one that its init takes.
	Address netip.Addr
	// Memory is its size; by default 512M, half of which its files may take. Processors are as many;
	// by default one.
	Memory     string
	Processors int
	// Disks are files that the machine has as such. With Discard, what the machine writes to them
	// ends with the machine.
	Disks   []string
	Discard bool
	// Arguments are further ones of QEMU's.
	Arguments []string
	// Terminals are sockets that QEMU makes: of the serial lines ttyS1, ttyS2 …, after the console.
	Terminals []string
	// Monitor is a socket that QEMU makes, if one is named: it takes the commands of QEMU's monitor
	// (man 7 qemu-qmp-ref, and docs/system/monitor.rst of QEMU).
	Monitor string
	// Reboots lets a reset begin another boot, instead of ending the machine. Its memory stays as
	// it was.
	Reboots bool
	// Translations are how many MiB QEMU may keep of the guest's code in its translation; by default
	// up to 1024. A reset keeps all of it, and each page that the next boot writes to is looked for
	// there: with the default, a second boot took four times as long as the first.
	Translations int
}

// A Machine runs.
type Machine struct {
	address netip.Addr
	cmd     *exec.Cmd
	ended   chan struct{}

	mu    sync.Mutex
	lines []line
	news  chan struct{} // closed and replaced at each line, and closed for good at the end
}

type line struct {
	at   time.Time
	text string
}

// Start starts a machine.
func Start(o Options) (*Machine, error) {
	m := &Machine{address: o.Address, ended: make(chan struct{}), news: make(chan struct{})}
	m.cmd = exec.Command(o.QEMU, o.arguments()...)
	m.cmd.ExtraFiles = []*os.File{o.Tap}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	console, writer := io.Pipe()
	m.cmd.Stdout, m.cmd.Stderr = writer, writer
	started := make(chan error)
	go func() {
		// The kernel kills a child when the thread that started it ends, and Go ends threads as it
		// likes.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			_ = writer.CloseWithError(m.cmd.Wait())
			close(m.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", o.QEMU, err)
	}
	go m.listen(console)
	return m, nil
}

func (o Options) arguments() []string {
	all := []string{
		"-accel", o.accelerator(), "-cpu", "max", "-smp", strconv.Itoa(cmp.Or(o.Processors, 1)),
		"-m", cmp.Or(o.Memory, "512M"), "-nodefaults", "-no-user-config",
		"-display", "none", "-serial", "stdio",
		"-kernel", o.Kernel, "-initrd", o.Initramfs, "-append", parameters(o.Parameters),
		// The file is the first after the standard ones. An option ROM is of use only where a
		// machine boots from the network.
		"-netdev", "tap,id=net,fd=3", "-device", "virtio-net-pci,netdev=net,romfile=",
	}
	if !o.Reboots {
		all = append(all, "-no-reboot")
	}
	for n, file := range o.Disks {
		id := "disk" + strconv.Itoa(n)
		drive := "if=none,id=" + id + ",format=raw,file=" + file
		if o.Discard {
			drive += ",snapshot=on"
		}
		all = append(all, "-drive", drive, "-device", "virtio-blk-pci,drive="+id)
	}
	for _, socket := range o.Terminals {
		all = append(all, "-serial", "unix:"+socket+",server=on,wait=off")
	}
	if o.Monitor != "" {
		all = append(all, "-monitor", "unix:"+o.Monitor+",server=on,wait=off")
	}
	return append(all, o.Arguments...)
}

func (o Options) accelerator() string {
	if o.Translations == 0 {
		return "tcg"
	}
	return "tcg,tb-size=" + strconv.Itoa(o.Translations)
}

func parameters(own map[string]string) string {
	var all strings.Builder
	all.WriteString("console=ttyS0 net.ifnames=0")
	for name, value := range own {
		all.WriteString(" " + name + "=" + value)
	}
	return all.String()
}

// listen keeps what the machine says on its serial console.
func (m *Machine) listen(console io.Reader) {
	lines := bufio.NewScanner(console)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		m.mu.Lock()
		m.lines = append(m.lines, line{at: time.Now(), text: strings.TrimRight(lines.Text(), "\r")})
		close(m.news)
		m.news = make(chan struct{})
		m.mu.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.news)
}

// Says waits until the console has said a line that contains the words, and returns when it did.
func (m *Machine) Says(ctx context.Context, words string) (time.Time, error) {
	l, err := m.wait(ctx, words, 1)
	return l.at, err
}

// SaysAgain waits until the console has said the words in so many lines, and returns the last of
// them, and when that was.
func (m *Machine) SaysAgain(ctx context.Context, words string,
	times int) (line string, at time.Time, err error) {
	l, err := m.wait(ctx, words, times)
	return l.text, l.at, err
}

func (m *Machine) wait(ctx context.Context, words string, times int) (line, error) {
	for {
		m.mu.Lock()
		lines, news := m.lines, m.news
		m.mu.Unlock()
		said := 0
		for _, l := range lines {
			if strings.Contains(l.text, words) {
				said++
			}
			if said == times {
				return l, nil
			}
		}
		select {
		case <-news:
		case <-m.ended:
			return line{}, fmt.Errorf("wait for %q on the console: the machine has ended", words)
		case <-ctx.Done():
			return line{}, fmt.Errorf("wait for %q on the console: %w", words, ctx.Err())
		}
	}
}

// Console is all that was said on it.
func (m *Machine) Console() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all strings.Builder
	for _, l := range m.lines {
		all.WriteString(l.text + "\n")
	}
	return all.String()
}

// Order gives a command that the machine does not survive.
func (m *Machine) Order(command string) error {
	conn, err := m.dial(command)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Do gives a command and waits until it is obeyed.
func (m *Machine) Do(command string) error {
	conn, err := m.dial(command)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(commandLimit)); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && string(answer) != "done: <nil>\n" {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	if err != nil {
		return fmt.Errorf("have the machine do %q: %w", command, err)
	}
	return nil
}

func (m *Machine) dial(command string) (net.Conn, error) {
	conn, err := m.connect()
	if err == nil {
		_, err = fmt.Fprintln(conn, command)
	}
	if err != nil {
		return nil, fmt.Errorf("order %q: %w", command, err)
	}
	return conn, nil
}

// connect insists where nobody has answered for the address: others have asked for it, too, before
// the machine was up, and what comes of their question comes of ours.
func (m *Machine) connect() (conn net.Conn, err error) {
	for deadline := time.Now().Add(commandLimit); ; time.Sleep(poll) {
		conn, err = net.DialTimeout("tcp", net.JoinHostPort(m.address.String(),
			strconv.Itoa(commandPort)), commandLimit)
		if !errors.Is(err, syscall.EHOSTUNREACH) || time.Now().After(deadline) {
			return conn, err
		}
	}
}

// Stop takes the power away.
func (m *Machine) Stop() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}
