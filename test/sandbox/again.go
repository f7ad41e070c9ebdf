package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Clear takes everything away that was done to the cluster since Start, as if it had never been:
// nodes, replicas of Epitaph, programs of the caller's and every object in the store that the
// sandbox has not put there itself. What is left is a control plane with the chart's definitions
// and rights, of which Begin makes a cluster again at a fraction of what a start takes. An error
// tells that the sandbox is of no use any more but to be stopped: a program of the control plane
// has ended, for instance.
func (s *Sandbox) Clear(ctx context.Context) error {
	s.mu.Lock()
	if s.baseline == nil {
		s.mu.Unlock()
		return errors.New("clear the sandbox: it was not started with Options.Again")
	}
	ours, others := s.processes[:s.ownPrograms], s.processes[s.ownPrograms:]
	for _, n := range s.nodes {
		n.release()
	}
	for _, end := range s.relays {
		end()
	}
	s.processes, s.nodes, s.relays, s.replicas = ours, nil, nil, 0
	s.Epitaph = nil
	s.mu.Unlock()
	for _, p := range others {
		p.Stop()
	}
	for _, p := range ours {
		if !p.Running() {
			return fmt.Errorf("clear the sandbox: %s has ended", p.Name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.baseline.restore(ctx); err != nil {
		return fmt.Errorf("clear the sandbox: %w", err)
	}
	return s.clearFolder(others)
}

// clearFolder removes the files of nodes, of replicas and of the programs that were stopped. The
// audit log goes on: what it holds from now on begins at auditFrom.
func (s *Sandbox) clearFolder(stopped []*Process) error {
	gone := []error{os.RemoveAll(s.path("epitaph"))}
	for _, p := range stopped {
		gone = append(gone, os.RemoveAll(p.LogPath))
	}
	instances, err := filepath.Glob(filepath.Join(s.Instances, "*"))
	gone = append(gone, err)
	for _, instance := range instances {
		gone = append(gone, os.Remove(instance))
	}
	log, err := os.Stat(s.AuditLog())
	if err == nil {
		s.auditFrom = log.Size()
	}
	if err := errors.Join(append(gone, err)...); err != nil {
		return fmt.Errorf("clear the sandbox's folder: %w", err)
	}
	return nil
}

// Begin makes a cluster of a sandbox that was cleared: it has its nodes again, and Epitaph as it is
// asked for.
func (s *Sandbox) Begin(ctx context.Context, options EpitaphOptions) error {
	s.options.Epitaph = options
	for _, step := range []func(context.Context) error{
		s.buildEpitaph, s.makeNodes, s.startEpitaph,
	} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("begin again: %w", err)
		}
	}
	return nil
}
