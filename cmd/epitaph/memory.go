package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent is GOGC: how much garbage may gather, in percent of the live heap. The live heap is
// mostly the caches, which are large and change little. At Go's default of 100 they would cost
// twice their size, while more frequent collections hardly cost anything (docs/performance.md).
const gcPercent = 50

// cgroupLimit is where a container reads its memory limit (cgroup v2).
const cgroupLimit = "/sys/fs/cgroup/memory.max"

// boundMemory sets GOGC, and GOMEMLIMIT to what the container may use, unless the environment sets
// them.
func boundMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if limit, ok := memoryLimit(cgroupLimit); ok && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// memoryLimit is nine tenths of the limit in the file; the rest is for memory that Go does not
// count. It is false where the file has no limit.
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
