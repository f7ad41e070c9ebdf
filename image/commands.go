package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/epitaph-k8s/epitaph/image/container"
	"github.com/epitaph-k8s/epitaph/image/helmchart"
	"github.com/epitaph-k8s/epitaph/image/krew"
	"github.com/epitaph-k8s/epitaph/image/registry"
	"github.com/epitaph-k8s/epitaph/image/release"
	"github.com/epitaph-k8s/epitaph/image/sign"
)

const megabyte = 1e6

// common are the flags of every command.
type common struct{ checkout, out, version string }

func (c *common) register(flags *flag.FlagSet) {
	flags.StringVar(&c.checkout, "checkout", ".", "the `folder` of Epitaph's sources")
	flags.StringVar(&c.out, "out", "dist", "the `folder` for what is made")
	flags.StringVar(&c.version, "version", "devel",
		"the `version` to stamp into programs and chart, and to tag the image with")
}

// selected are the flags that say which images, for what.
type selected struct {
	cloud    bool
	platform string
}

func (s *selected) register(flags *flag.FlagSet) {
	flags.BoolVar(&s.cloud, "cloud", false,
		"also the image of the program that asks the clouds")
	flags.StringVar(&s.platform, "platform", "",
		"the one `platform` to build for; every one without it")
}

// images are those that are made; the first is the one that the chart always asks for.
func (s *selected) images() []container.Contents {
	if s.cloud {
		return []container.Contents{container.Epitaph, container.Cloud}
	}
	return []container.Contents{container.Epitaph}
}

// platforms are all, or the one.
func (s *selected) platforms() ([]v1.Platform, error) {
	if s.platform == "" {
		return container.Platforms, nil
	}
	for _, p := range container.Platforms {
		if p.String() == s.platform {
			return []v1.Platform{p}, nil
		}
	}
	return nil, fmt.Errorf("--platform is %q: the platforms are %v", s.platform,
		container.Platforms)
}

// key loads the key that signs, if one is given.
func key(file string) (*sign.Key, error) {
	if file == "" {
		return nil, nil
	}
	k, err := sign.Load(file)
	if err != nil {
		return nil, err
	}
	return &k, nil
}

func runBuild(ctx context.Context, stdout io.Writer, flags *flag.FlagSet, args []string) error {
	var (
		c      common
		chosen selected
	)
	c.register(flags)
	chosen.register(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	platforms, err := chosen.platforms()
	if err != nil {
		return err
	}
	for _, of := range chosen.images() {
		if _, err := c.build(ctx, stdout, of, platforms); err != nil {
			return err
		}
	}
	return nil
}

// build makes an image, writes it into the folder, and says what it is.
func (c common) build(ctx context.Context, stdout io.Writer,
	of container.Contents, platforms []v1.Platform) (container.Image, error) {
	image, err := container.Recipe{Checkout: c.checkout, Version: c.version,
		Platforms: platforms, Contents: of}.Make(ctx)
	if err != nil {
		return container.Image{}, err
	}
	archive, err := image.Write(c.out)
	if err != nil {
		return container.Image{}, err
	}
	digest, err := image.Index.Digest()
	if err != nil {
		return container.Image{}, fmt.Errorf("digest the image: %w", err)
	}
	fmt.Fprintf(stdout, "%s\n  %s:%s@%s\n", archive, image.Repository, c.version, digest)
	for _, p := range image.Parts {
		fmt.Fprintf(stdout, "  %-12s %5.1f MB compressed\n", p.Platform,
			float64(p.Size)/megabyte)
	}
	return image, nil
}

func runPush(ctx context.Context, stdout io.Writer, flags *flag.FlagSet, args []string) error {
	var (
		c      common
		chosen selected
	)
	c.register(flags)
	chosen.register(flags)
	to := flags.String("registry", "", "where to: HOST[:PORT][/FOLDER]")
	keyFile := flags.String("key", "", "sign what is pushed with the private key in this `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	platforms, err := chosen.platforms()
	if err != nil {
		return err
	}
	k, err := key(*keyFile)
	if err != nil {
		return err
	}
	var pushed []name.Digest
	for _, of := range chosen.images() {
		digest, err := c.pushImage(ctx, stdout, *to, of, platforms)
		if err != nil {
			return err
		}
		pushed = append(pushed, digest)
	}
	chart, asked, err := c.pushChart(ctx, *to, pushed[0])
	if err != nil {
		return err
	}
	for _, what := range append(pushed, asked) {
		fmt.Fprintln(stdout, what)
		if k == nil {
			continue
		}
		tag, signature, err := k.Image(what)
		if err != nil {
			return err
		}
		if _, err := registry.Push(ctx, tag, signature); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "  signed: %s\n", tag)
	}
	fmt.Fprintf(stdout, "helm install epitaph oci://%s --version %s --namespace epitaph-system "+
		"--create-namespace --wait\n", asked.Context().Name(), chart.Version)
	if chosen.cloud {
		fmt.Fprintf(stdout, "  --set cloud.image.repository=%s --set cloud.image.digest=%s\n",
			pushed[1].Context().Name(), pushed[1].DigestStr())
	}
	return nil
}

// pushImage makes an image and puts it into the registry. A name that no registry has is told
// before minutes go into the programs.
func (c common) pushImage(ctx context.Context, stdout io.Writer, to string,
	of container.Contents, platforms []v1.Platform) (name.Digest, error) {
	tag, err := registry.Tag(to, of.Repository, c.version)
	if err != nil {
		return name.Digest{}, err
	}
	image, err := c.build(ctx, stdout, of, platforms)
	if err != nil {
		return name.Digest{}, err
	}
	return registry.Push(ctx, tag, image.Index)
}

// pushChart puts the chart that asks for the image beside it.
func (c common) pushChart(ctx context.Context, to string, image name.Digest) (
	chart helmchart.Chart, asked name.Digest, err error) {
	chart, err = helmchart.Recipe{Checkout: c.checkout, Version: c.version,
		Image: image.Context().Name(), Digest: image.DigestStr()}.Make()
	if err != nil {
		return chart, asked, err
	}
	artifact, err := chart.Artifact()
	if err != nil {
		return chart, asked, err
	}
	tag, err := registry.Tag(to, helmchart.Repository, chart.Tag())
	if err != nil {
		return chart, asked, err
	}
	asked, err = registry.Push(ctx, tag, artifact)
	return chart, asked, err
}

func runPlugin(ctx context.Context, stdout io.Writer, flags *flag.FlagSet, args []string) error {
	var c common
	c.register(flags)
	url := flags.String("url", krew.Releases,
		"where the releases are, each in a folder that is called as its version: a `URL`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	plugin, err := krew.Recipe{Checkout: c.checkout, Version: c.version, URL: *url,
		Platforms: krew.Platforms}.Make(ctx)
	if err != nil {
		return err
	}
	if err := plugin.Write(c.out); err != nil {
		return err
	}
	for _, a := range plugin.Archives {
		fmt.Fprintf(stdout, "%s  %s\n", a.SHA256, filepath.Join(c.out, a.Name))
	}
	fmt.Fprintln(stdout, filepath.Join(c.out, krew.ManifestName))
	return nil
}

func runRelease(ctx context.Context, stdout io.Writer, flags *flag.FlagSet, args []string) error {
	var c common
	c.register(flags)
	repository := flags.String("image", "",
		"the `repository` in which the image will be: the chart asks for it there, by its digest")
	keyFile := flags.String("key", "", "sign with the private key in this `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	k, err := key(*keyFile)
	if err != nil {
		return err
	}
	dir, err := release.Recipe{Checkout: c.checkout, Version: c.version, Image: *repository,
		Key: k}.Make(ctx, c.out)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, dir)
	if k == nil {
		fmt.Fprintln(stdout, "  nothing is signed: give a key (KEY=FILE)")
	}
	return nil
}
