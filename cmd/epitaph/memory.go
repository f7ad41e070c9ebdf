package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent is how much garbage may gather, in percent of what lives, before Go's collector runs.
// What lives here are the caches of the cluster, which are large and change little: at Go's default
// of 100 they would cost twice their size, and a collection more or less is not felt
// (docs/performance.md).
const gcPercent = 50

// cgroupLimit is where a container reads its memory limit (cgroup v2).
const cgroupLimit = "/sys/fs/cgroup/memory.max"

// boundMemory sets how much garbage may gather, and that it be collected sooner where memory runs
// out, unless the environment variables GOGC and GOMEMLIMIT do.
func boundMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if limit, ok := memoryLimit(cgroupLimit); ok && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// memoryLimit is nine tenths of the limit in the file: the rest is for what Go does not count.
// Without a limit there is none.
func memoryLimit(file string) (int64, bool) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil || limit <= 0 {
		return 0, false // "max", or no number that means anything
	}
	return limit / 10 * 9, true
}
