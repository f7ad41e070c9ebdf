// Command plugin packs the kubectl plugin for krew, kubectl's plugin manager: an archive for each
// platform, and the manifest that says where they are and what their digests are.
//
//	plugin --checkout DIR --out DIR --version vX.Y.Z [--url URL]
//
// Invariant: who packs the same sources with the same Go gets the same bytes, hence the manifest's
// digests hold for archives that somebody else packed.
//
// What this program does not do: upload anything, or file anything with krew's index.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := recipe{platforms: platforms}
	flag.StringVar(&r.checkout, "checkout", ".", "the `folder` of Epitaph's sources")
	flag.StringVar(&r.version, "version", "",
		"the `version` to stamp into the program, such as v1.2.3")
	flag.StringVar(&r.url, "url", releases,
		"where the releases are, each in a folder that is called as its version: a `URL`")
	out := flag.String("out", "dist", "the `folder` for the archives and the manifest")
	flag.Parse()
	if err := run(ctx, os.Stdout, r, *out); err != nil {
		fmt.Fprintln(os.Stderr, "plugin:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout io.Writer, r recipe, out string) error {
	made, err := r.make(ctx)
	if err != nil {
		return err
	}
	if err := made.write(out); err != nil {
		return err
	}
	for _, a := range made.archives {
		fmt.Fprintf(stdout, "%s  %s\n", a.SHA256, filepath.Join(out, a.Name))
	}
	fmt.Fprintln(stdout, filepath.Join(out, manifestName))
	return nil
}
