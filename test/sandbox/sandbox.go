package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// DefaultNodes is how many nodes a sandbox has unless asked for others.
const DefaultNodes = 6

// Options shape a sandbox. The zero value is a whole one, in a temporary folder.
type Options struct {
	// Dir holds everything the sandbox writes: keys, the store, logs, kubeconfigs. Without it, a
	// temporary folder is made, and removed by Stop. A folder that is given is emptied at the start
	// and left for reading at the end.
	Dir string
	// Out is told what is going on, a line a step. Without it, nobody is.
	Out io.Writer
	// Nodes are the nodes at the start. Without any, there are DefaultNodes of them: node-1, node-2
	// and so on.
	Nodes []NodeSpec
	// BuiltInPodGC leaves kube-controller-manager's own pod garbage collector on, beside Epitaph's.
	BuiltInPodGC bool
	// Epitaph is how Epitaph runs, or that it does not.
	Epitaph EpitaphOptions
	// LimitCriticalPods has the API server refuse pods of the system's priority classes wherever no
	// quota allows them, as GKE's does.
	LimitCriticalPods bool
	// Issuer is who signs the tokens of people: an OpenID provider. Without one, there are only
	// service accounts and client certificates.
	Issuer *Issuer
	// Reports are the formats of config.Reports whose definitions the API server has.
	Reports []string
	// RealNodes leaves a node more time between two signs of life: for real kubelets, on a machine
	// that is busy.
	RealNodes bool
	// LeaveOutChart leaves out what the chart installs: definitions, identity, rights. Epitaph
	// cannot run without them.
	LeaveOutChart bool
	// Again keeps in mind what the cluster is like before it has nodes, for [Sandbox.Clear].
	Again bool
}

// A Sandbox is a running cluster. Its methods may be called from several goroutines.
type Sandbox struct {
	// Kubeconfig is a file with the administrator's credentials.
	Kubeconfig string
	// Programs are the paths of the cluster's own programs, kubectl among them.
	Programs binaries.Paths
	// Logs holds one file for each program.
	Logs string
	// Instances is the cloud: it has an instance for a node while this folder has a file of the
	// node's name.
	Instances string
	// Epitaph is the first replica, nil where it is left out.
	Epitaph *Epitaph

	options   Options
	dir       string
	server    string
	config    *rest.Config
	client    *kubernetes.Clientset
	authority *authority
	nursery   *nursery
	// metricsToken is that of who may read the metrics.
	metricsToken string
	etcd         etcd
	baseline     *baseline
	// auditFrom is how many bytes of the audit log are from before the last Clear.
	auditFrom int64

	// background are our own goroutines; they end when cancel is called.
	background sync.WaitGroup
	cancel     context.CancelFunc
	clearUp    sync.Once

	mu        sync.Mutex
	processes []*Process
	nodes     []*node
	// registry has the Nodes that there are; nil until they are watched.
	registry cache.SharedInformer
	relays   []func()
	replicas int
	// ownPrograms is how many of the processes, the first ones, are the cluster's.
	ownPrograms int
}

// Start builds what has to be built, starts everything, and returns when all of it is ready. An
// error, or the end of ctx, leaves nothing running. When ctx ends later, the sandbox stays: Stop
// ends it.
func Start(ctx context.Context, options Options) (*Sandbox, error) {
	if options.Out == nil {
		options.Out = io.Discard
	}
	s := &Sandbox{options: options, nursery: newNursery()}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"lay out its folder", s.layOut},
		{"find its programs", s.findPrograms},
		{"build Epitaph", s.buildEpitaph},
		{"start the API server", s.startAPIServer},
		// First of all: the API server holds back creations of a kind that was defined within the
		// last two seconds.
		{"install the definitions", s.installDefinitions},
		{"write its own objects", s.writeObjects},
		{"start the controllers", s.startControllers},
		{"keep it in mind", s.keepInMind},
		{"start the nodes", s.startNodes},
		{"start Epitaph", s.startEpitaph},
	} {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			s.Stop()
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Fprintf(options.Out, "  %-24s %5.1f s\n", step.what, time.Since(began).Seconds())
	}
	return s, nil
}

// keepInMind notes what Clear brings back.
func (s *Sandbox) keepInMind(ctx context.Context) (err error) {
	if s.options.Again {
		s.baseline, err = takeBaseline(ctx, s.etcd)
	}
	return err
}

// Stop ends everything, in the reverse order of the start, and returns when nothing is left. It may
// be called twice.
func (s *Sandbox) Stop() {
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Lock()
	processes := s.processes
	for _, n := range s.nodes {
		n.release()
	}
	for _, end := range s.relays {
		end()
	}
	s.processes, s.nodes, s.relays = nil, nil, nil
	s.mu.Unlock()
	s.background.Wait()
	stopAll(processes)
	s.clearUp.Do(func() {
		s.nursery.close()
		if s.options.Dir == "" && s.dir != "" {
			_ = os.RemoveAll(s.dir)
		}
	})
}

// Wait returns when ctx ends, or earlier, with an error that says why, when a program ends that
// nobody stopped. Epitaph's replicas are not watched: ending them is part of what people try.
func (s *Sandbox) Wait(ctx context.Context) error {
	watched := s.Processes()
	dead := make(chan *Process, len(watched))
	for _, p := range watched {
		if s.Programs[p.Name] == "" {
			continue
		}
		// Not one of s.background, which ends before the programs do.
		go func() {
			<-p.exited
			dead <- p
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case p := <-dead:
		return fmt.Errorf("%s ended (%w)\n%s", p.Name, p.err, p.lastWords())
	}
}

// Processes are all programs that were started, ended ones included, in that order.
func (s *Sandbox) Processes() []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.processes)
}

// stopAll first ends the programs that use the API server, which end at once while that is still
// there. It and etcd are killed: they would wait for each other, and there is nothing to be saved.
func stopAll(processes []*Process) {
	const servers = 2 // etcd and kube-apiserver, the first to be started
	var clients sync.WaitGroup
	for _, p := range processes[min(servers, len(processes)):] {
		clients.Go(p.Stop)
	}
	clients.Wait()
	for _, p := range slices.Backward(processes[:min(servers, len(processes))]) {
		p.Kill()
	}
}

func (s *Sandbox) layOut(context.Context) error {
	dir, err := s.makeDir()
	if err != nil {
		return err
	}
	s.dir, s.Logs, s.Instances = dir, filepath.Join(dir, "logs"), filepath.Join(dir, "instances")
	if err := os.MkdirAll(s.Instances, 0o755); err != nil {
		return fmt.Errorf("make the folder of instances: %w", err)
	}
	cloud, err := json.Marshal(map[string]any{"instances": s.Instances, "plays": clouds})
	if err != nil {
		return fmt.Errorf("encode the cloud's configuration: %w", err)
	}
	if err := os.WriteFile(s.path("cloud.json"), cloud, 0o644); err != nil {
		return fmt.Errorf("write the cloud's configuration: %w", err)
	}
	if s.authority, err = newAuthority(); err != nil {
		return err
	}
	return errors.Join(s.writeSecrets(), s.writeStages())
}

// contents are what a sandbox puts into its folder; only these are removed from a folder that is
// not ours alone.
var contents = []string{"bin", "etcd", "instances", "kubeconfigs", "logs", "pki", "stages",
	"cloud.json", "audit-policy.yaml", "admission.yaml", "epitaph"}

func (s *Sandbox) makeDir() (string, error) {
	if s.options.Dir == "" {
		dir, err := os.MkdirTemp("", "epitaph-sandbox-")
		if err != nil {
			return "", fmt.Errorf("make a temporary folder: %w", err)
		}
		return dir, nil
	}
	dir, err := filepath.Abs(s.options.Dir)
	if err != nil {
		return "", fmt.Errorf("find the folder %s: %w", s.options.Dir, err)
	}
	for _, name := range contents {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("remove what an earlier sandbox left: %w", err)
		}
	}
	return dir, nil
}

func (s *Sandbox) findPrograms(ctx context.Context) (err error) {
	s.Programs, err = binaries.Ensure(ctx, s.options.Out, binaries.ControlPlane, binaries.Tools)
	return err
}

// launch starts one of the cluster's programs, which Stop will stop.
func (s *Sandbox) launch(name string, args ...string) (*Process, error) {
	return s.adopt(s.nursery.launch(name, s.Programs[name], s.Logs, args...))
}

// Launch starts a program of the caller's, which Stop will stop. Its log is NAME.log.
func (s *Sandbox) Launch(name, program string, args ...string) (*Process, error) {
	return s.adopt(s.nursery.launch(name, program, s.Logs, args...))
}

func (s *Sandbox) adopt(p *Process, err error) (*Process, error) {
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p, nil
}
