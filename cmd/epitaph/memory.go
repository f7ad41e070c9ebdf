package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much garbage may gather, in percent of what lives, before Go's collector runs. What lives here are the caches of
// the cluster, which are large and change little: at Go's default of 100 they would cost twice their size, and a collection more or
// less is not felt (docs/performance.md).
const gcPercent = 50

// boundGarbage sets the percentage, unless the environment variable GOGC does.
func boundGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
