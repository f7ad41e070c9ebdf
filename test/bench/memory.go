package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Megabytes are what the kernel says of a process: VmRSS now, and VmHWM, the most it ever was.
// Of Now, Files (RssFile) are pages of files, above all of the program itself: the kernel can take
// them away, and processes of the same program share them.
type Megabytes struct{ Now, Peak, Files float64 }

// Memory reads the memory of Epitaph.
func (c *Cluster) Memory() (Megabytes, error) { return MemoryOf(c.pid()) }

// MemoryOf reads the memory of a process.
func MemoryOf(pid int) (Megabytes, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return Megabytes{}, fmt.Errorf("read the memory of Epitaph: %w", err)
	}
	now, nowErr := field(string(status), "VmRSS:")
	peak, peakErr := field(string(status), "VmHWM:")
	files, filesErr := field(string(status), "RssFile:")
	return Megabytes{Now: now, Peak: peak, Files: files}, errors.Join(nowErr, peakErr, filesErr)
}

// Touched is how much of the files that a process has mapped it looks at within a time, in
// megabytes: the kernel maps a large page as a whole, whoever looks at a part of it, and all of that
// is resident.
func Touched(ctx context.Context, pid int, within time.Duration) (float64, error) {
	of := "/proc/" + strconv.Itoa(pid)
	// Documentation/filesystems/proc.rst: 1 clears the bits of all pages.
	if err := os.WriteFile(of+"/clear_refs", []byte("1"), 0); err != nil {
		return 0, fmt.Errorf("forget what Epitaph has looked at: %w", err)
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(within):
	}
	maps, err := os.ReadFile(of + "/smaps")
	if err != nil {
		return 0, fmt.Errorf("read what Epitaph has looked at: %w", err)
	}
	var sum float64
	ofFile := false
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Referenced:") && ofFile:
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0, fmt.Errorf("read what Epitaph has looked at: %w", err)
			}
			sum += kilobytes / 1024
		case !strings.HasSuffix(fields[0], ":"): // a mapping begins: address, rights, offset, device, inode, path
			ofFile = len(fields) > 5 && strings.HasPrefix(fields[5], "/") && !strings.Contains(fields[1], "w")
		}
	}
	return sum, nil
}

// pid is the process that Epitaph runs as since its last start.
func (c *Cluster) pid() int {
	id := 0
	for _, p := range c.Processes() {
		if p.Name == "epitaph" && p.Running() {
			id = p.PID()
		}
	}
	return id
}

func field(status, name string) (float64, error) {
	_, rest, found := strings.Cut(status, name)
	if !found {
		return 0, fmt.Errorf("the process has no %s", name)
	}
	kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return kilobytes / 1024, nil
}

// StopControllers stops whatever would spend its time on thousands of objects that no kubelet looks
// after, where what is measured needs the API server only.
func (c *Cluster) StopControllers() error {
	stopped := 0
	for _, p := range c.Processes() {
		switch p.Name {
		case "kube-controller-manager", "kube-scheduler", "cloud-controller-manager", "kwok":
			p.Kill()
			stopped++
		}
	}
	if stopped != 4 {
		return fmt.Errorf("stopped %d controllers, want 4", stopped)
	}
	return nil
}
