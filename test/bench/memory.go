package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
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
