package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Backup keeps a copy of what etcd has, under a name. Etcd and the API server are stopped for it,
// and started again: requests fail meanwhile, and every watch breaks.
func (s *Sandbox) Backup(ctx context.Context, name string) error {
	return s.withoutEtcd(ctx, func() error {
		return os.CopyFS(s.path("etcd-"+name), os.DirFS(s.path("etcd")))
	})
}

// Restore replaces what etcd has by what it had when a backup was made: what was written since has
// never been, and its revisions come again.
func (s *Sandbox) Restore(ctx context.Context, name string) error {
	return s.withoutEtcd(ctx, func() error {
		if err := os.RemoveAll(s.path("etcd")); err != nil {
			return err
		}
		return os.CopyFS(s.path("etcd"), os.DirFS(s.path("etcd-"+name)))
	})
}

// withoutEtcd does something while etcd does not run, nor the API server, which remembers what it
// has read.
func (s *Sandbox) withoutEtcd(ctx context.Context, do func() error) error {
	s.mu.Lock()
	n := slices.IndexFunc(s.processes, func(p *Process) bool { return p.Name == "etcd" })
	api := slices.IndexFunc(s.processes, func(p *Process) bool { return p.Name == "kube-apiserver" })
	if n < 0 || api < 0 {
		s.mu.Unlock()
		return errors.New("stop etcd: it was never started")
	}
	old := s.processes[n]
	s.processes[api].Kill()
	old.Stop()
	err := do()
	if err == nil {
		s.processes[n], err = s.nursery.launch(old.Name, s.Programs[old.Name], s.Logs,
			old.cmd.Args[1:]...)
	}
	started := s.processes[n]
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("copy what etcd has: %w", err)
	}
	if err := started.ready(ctx, startLimit, s.answers(string(s.etcd)+"/health")); err != nil {
		return err
	}
	return s.RestartAPIServer(ctx)
}
