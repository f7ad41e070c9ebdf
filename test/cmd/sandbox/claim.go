package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// A claim is the right to run the one sandbox of this checkout. The kernel ends it with our
// process, so that a crash leaves nothing to be cleaned up by hand.
type claim struct {
	dir  string
	lock *os.File
}

func claimFolder(dir string) (*claim, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the sandbox's folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox's lock: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		lock.Close()
		return nil, fmt.Errorf(
			"a sandbox of this checkout is up already (%s): use it, or stop it with Ctrl-C where it runs", dir)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	c := &claim{dir: dir, lock: lock}
	// A sandbox that was killed could not remove it.
	return c, c.forget()
}

func (c *claim) release() {
	_ = c.forget()
	_ = c.lock.Close()
}

func (c *claim) forget() error {
	err := os.Remove(filepath.Join(c.dir, "sandbox.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the description of a sandbox: %w", err)
	}
	return nil
}

// A description is what .cache/sandbox/sandbox.json tells scripts and tests about the sandbox that
// is up.
type description struct {
	// PID is the process to send SIGTERM to; where it is gone, so is the sandbox, and this file is
	// stale.
	PID        int            `json:"pid"`
	Kubeconfig string         `json:"kubeconfig"`
	Kubectl    string         `json:"kubectl"`
	Netconsole string         `json:"netconsole,omitempty"`
	Metrics    string         `json:"metrics,omitempty"`
	Cloud      cloud          `json:"cloud"`
	Nodes      []sandbox.Node `json:"nodes"`
	Logs       string         `json:"logs"`
}

type cloud struct {
	Instances string `json:"instances"`
	HowTo     string `json:"howto"`
}

func (c *claim) describe(s *sandbox.Sandbox) error {
	d := description{
		PID: os.Getpid(), Kubeconfig: s.Kubeconfig, Kubectl: s.Programs["kubectl"],
		Nodes: s.Nodes(), Logs: s.Logs,
		Cloud: cloud{Instances: s.Instances,
			HowTo: "remove the file of a node's name: its instance is then gone"},
	}
	if s.Epitaph != nil {
		d.Netconsole, d.Metrics = s.Epitaph.Config.Netconsole.Address, s.Epitaph.MetricsURL
	}
	content, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the description of the sandbox: %w", err)
	}
	// Renamed into its place: whoever waits for the file reads it whole.
	whole := filepath.Join(c.dir, "sandbox.json")
	if err := os.WriteFile(whole+".new", append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the description of the sandbox: %w", err)
	}
	if err := os.Rename(whole+".new", whole); err != nil {
		return fmt.Errorf("publish the description of the sandbox: %w", err)
	}
	return nil
}
