package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"time"
)

// settle is how long a receiver has for what still is in its socket.
const settle = 500 * time.Millisecond

// A measurement is what a receiver says of itself at the end, and what the sender sent.
type measurement struct {
	Received    float64
	Drops       float64
	CPU         float64 // seconds
	RSS         float64 // bytes
	Allocations float64
	sent        float64
	lasted      float64
}

func (m measurement) share() float64          { return m.Received / m.sent }
func (m measurement) perSecond() float64      { return m.Received / m.lasted }
func (m measurement) cpuPerDatagram() float64 { return m.CPU / m.Received * 1e9 }

// measure floods a receiver that runs as a process of its own.
func measure(ctx context.Context, role string, f flood) (m measurement, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, fmt.Errorf("find this program: %w", err)
	}
	receiver := exec.CommandContext(ctx, self, "-role", role)
	receiver.Stderr = os.Stderr
	stdin, err := receiver.StdinPipe()
	if err != nil {
		return m, fmt.Errorf("start the %s: %w", role, err)
	}
	stdout, err := receiver.StdoutPipe()
	if err != nil {
		return m, fmt.Errorf("start the %s: %w", role, err)
	}
	if err := receiver.Start(); err != nil {
		return m, fmt.Errorf("start the %s: %w", role, err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		return m, fmt.Errorf("start the %s: it said nothing: %w", role, receiver.Wait())
	}
	to, err := netip.ParseAddrPort(lines.Text())
	if err != nil {
		return m, fmt.Errorf("read the address of the %s: %w", role, err)
	}
	began := time.Now()
	sent, err := f.send(ctx, to)
	if err != nil {
		return m, err
	}
	lasted := time.Since(began)
	time.Sleep(settle)
	if err := stdin.Close(); err != nil {
		return m, fmt.Errorf("end the %s: %w", role, err)
	}
	if !lines.Scan() {
		return m, fmt.Errorf("the %s reports nothing: %w", role, receiver.Wait())
	}
	if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
		return m, fmt.Errorf("read the report of the %s: %w", role, err)
	}
	m.sent, m.lasted = sent, lasted.Seconds()
	return m, receiver.Wait()
}
