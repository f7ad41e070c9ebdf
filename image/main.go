// Command image builds and packs what is handed out of Epitaph, without a container engine:
//
//	image build    the container image, as an OCI archive, with bills of materials
//	image push     the same, and puts image and chart into a registry
//	image plugin   the kubectl plugin, for krew
//	image release  all of it under one version, with checksums, provenance and signatures
//
// docs/image.md tells what each is good for; `image COMMAND -h` lists the flags.
//
// Invariant: who builds the same sources with the same Go gets the same bytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// A command is one of the program's.
type command struct {
	about string
	run   func(ctx context.Context, stdout io.Writer, flags *flag.FlagSet, args []string) error
}

var commands = map[string]command{
	"build":   {"build the container image", runBuild},
	"push":    {"build it, and push it and the chart to a registry", runPush},
	"plugin":  {"pack the kubectl plugin for krew", runPlugin},
	"release": {"make everything that is handed out of a version", runRelease},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 || commands[os.Args[1]].run == nil {
		fmt.Fprintln(os.Stderr, "usage: image build|push|plugin|release [flags]")
		os.Exit(2)
	}
	name := os.Args[1]
	flags := flag.NewFlagSet("image "+name, flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "image %s: %s\n", name, commands[name].about)
		flags.PrintDefaults()
	}
	if err := commands[name].run(ctx, os.Stdout, flags, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}
