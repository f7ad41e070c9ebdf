// Command image builds Epitaph's container image without a Docker engine, as an OCI archive, with
// its bill of materials beside it.
//
//	image --checkout DIR --out DIR --version VERSION [--platform OS/ARCH] [--push REGISTRY]
//
// Invariant: who builds the same sources with the same Go gets the same bytes, hence the same
// digest: no time, no path and no user of the building machine goes into it. The image holds two
// static programs and their bill of materials, and runs as nobody.
//
// With --push it also puts the image into a registry (docs/image.md).
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// platforms are those of the nodes that Epitaph is for; the listener and the agent are Linux
// programs.
var platforms = []v1.Platform{{OS: "linux", Architecture: "amd64"},
	{OS: "linux", Architecture: "arm64"}}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	checkout := flag.String("checkout", ".", "the `folder` of Epitaph's sources")
	out := flag.String("out", "dist", "the `folder` for the archive and the bills of materials")
	version := flag.String("version", "devel",
		"the `version` to stamp into the programs and to tag the image with")
	only := flag.String("platform", "", "the one `platform` to build for; every one without it")
	registry := flag.String("push", "",
		"also push the image, as epitaph, to this `registry`: HOST[:PORT][/FOLDER]")
	flag.Parse()
	chosen, err := choose(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(2)
	}
	if err := run(ctx, os.Stdout, recipe{checkout: *checkout, version: *version, platforms: chosen},
		*out, *registry); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// choose is every platform, or the one.
func choose(only string) ([]v1.Platform, error) {
	if only == "" {
		return platforms, nil
	}
	for _, p := range platforms {
		if p.String() == only {
			return []v1.Platform{p}, nil
		}
	}
	return nil, fmt.Errorf("there is no image for the platform %s: choose one of %v", only,
		platforms)
}

func run(ctx context.Context, stdout io.Writer, r recipe, out, registry string) error {
	made, err := r.make(ctx)
	if err != nil {
		return err
	}
	archive, err := made.write(out)
	if err != nil {
		return err
	}
	digest, err := made.index.Digest()
	if err != nil {
		return fmt.Errorf("digest the image: %w", err)
	}
	fmt.Fprintf(stdout, "%s\n  %s:%s@%s\n", archive, repository, r.version, digest)
	for _, p := range made.parts {
		fmt.Fprintf(stdout, "  %-12s %5.1f MB compressed\n", p.platform, float64(p.size)/megabyte)
	}
	if registry == "" {
		return nil
	}
	pushed, err := made.push(ctx, registry)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\n  helm install … --set image.repository=%s --set image.digest=%s\n",
		pushed, pushed.Context(), pushed.DigestStr())
	return nil
}
