//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-k8s/epitaph/test/realnode/plan"
)

// startLimit is how long containerd has until it answers.
const startLimit = 2 * time.Minute

// inner is process 1 of the node. It returns when one of the two programs has ended, which ends the
// node.
func inner(p plan.Plan) error {
	if p.Runtime != "" {
		if err := os.Setenv("PATH", p.Runtime+":"+os.Getenv("PATH")); err != nil {
			return fmt.Errorf("find containerd: %w", err)
		}
	}
	if err := mountAll(p); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(p.Name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	runtime, err := start(p, "containerd", "containerd", "--config",
		filepath.Join(p.Dir, plan.ContainerdConfig))
	if err != nil {
		return err
	}
	if err := answers(); err != nil {
		return err
	}
	for _, image := range p.Images {
		if said, err := ctr("--namespace", "k8s.io", "images", "import", image); err != nil {
			return fmt.Errorf("import %s: %w\n%s", image, err, said)
		}
	}
	kubelet, err := start(p, "kubelet", p.Kubelet, p.KubeletArgs...)
	if err != nil {
		return err
	}
	return reap(map[int]string{runtime: "containerd", kubelet: "kubelet"})
}

// start starts a program whose log is its own, and returns its process ID: reap waits for it.
func start(p plan.Plan, name, program string, args ...string) (pid int, err error) {
	log, err := os.OpenFile(filepath.Join(p.Logs, p.Name+"-"+name+".log"),
		os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", name, err)
	}
	return cmd.Process.Pid, nil
}

func answers() error {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		said, err := ctr("version")
		if err == nil {
			return nil
		}
		if time.Since(began) > startLimit {
			return fmt.Errorf("containerd does not answer: %w\n%s", err, said)
		}
	}
}

func ctr(args ...string) ([]byte, error) {
	return exec.Command("ctr", append([]string{"--address", plan.ContainerdSocket},
		args...)...).CombinedOutput()
}

// reap waits for every child, those that were left by others too, as process 1 must, until one of
// the programs ends.
func reap(programs map[int]string) error {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for children: %w", err)
		}
		if name := programs[pid]; name != "" {
			return fmt.Errorf("%s ended: exit code %d, signal %d", name, status.ExitStatus(),
				status.Signal())
		}
	}
}
