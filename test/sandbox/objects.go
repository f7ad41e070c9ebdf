package sandbox

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// installDefinitions installs the chart's custom resource definitions and waits until the API
// server serves them.
func (s *Sandbox) installDefinitions(ctx context.Context) error {
	for _, format := range s.options.Reports {
		if err := s.DefineReports(ctx, format); err != nil {
			return err
		}
	}
	if s.options.LeaveOutChart {
		return nil
	}
	return s.DefineRecords()
}

// DefineRecords installs the definitions of obituaries and waits until the API server serves them.
func (s *Sandbox) DefineRecords() error {
	checkout, err := binaries.Checkout()
	if err != nil {
		return err
	}
	if err := s.define(filepath.Join(checkout, "charts", "epitaph", "crds")); err != nil {
		return fmt.Errorf("install the custom resource definitions: %w", err)
	}
	return nil
}

// chartFiles are the objects that the chart takes over as they are: who Epitaph, its agent, its
// archive and the program that asks clouds are, what they may do and write, and Epitaph's seats in the API server.
var chartFiles = []string{"rbac.yaml", "manager-policy.yaml", "flowcontrol.yaml", "agent.yaml",
	"archive.yaml", "cloud.yaml"}

// ownObjects is the file with what the sandbox's own programs may do; the others are Epitaph's.
const ownObjects = "manifests/cluster.yaml"

// readObjects returns the files with the objects that the sandbox has, in the order in which they
// are created.
func (s *Sandbox) readObjects() ([][]byte, error) {
	names, err := fs.Glob(manifests, "manifests/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the manifests: %w", err)
	}
	var all [][]byte
	for _, name := range names {
		if s.options.LeaveOutChart && name != ownObjects {
			continue
		}
		content, err := manifests.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		all = append(all, content)
	}
	if s.options.LeaveOutChart {
		return all, nil
	}
	checkout, err := binaries.Checkout()
	if err != nil {
		return nil, err
	}
	for _, name := range chartFiles {
		content, err := os.ReadFile(filepath.Join(checkout, "charts", "epitaph", "files", name))
		if err != nil {
			return nil, fmt.Errorf("read the chart's %s: %w", name, err)
		}
		all = append(all, content)
	}
	return all, nil
}

// writeObjects creates what the manifests and the chart's files hold, in the order in which they
// hold it.
func (s *Sandbox) writeObjects(ctx context.Context) error {
	writer, err := client.New(s.RESTConfig(), client.Options{})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	files, err := s.readObjects()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := createAll(ctx, writer, file); err != nil {
			return err
		}
	}
	return nil
}

// createAll creates what one file holds.
func createAll(ctx context.Context, writer client.Client, file []byte) error {
	objects, err := decodeObjects(file)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := createOne(ctx, writer, object); err != nil {
			return fmt.Errorf("create %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// createOne waits for the namespace: the API server makes those of the system only after it is
// ready.
func createOne(ctx context.Context, writer client.Client, object *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := writer.Create(ctx, object)
		if !apierrors.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(probeInterval):
		}
	}
}

func decodeObjects(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode object %d of a manifest: %w", len(objects)+1, err)
		}
		objects = append(objects, object)
	}
}

// define installs the definitions in files or folders, and waits until the API server serves them:
// not for the ten seconds that envtest waits by default, which a busy machine was seen to need.
func (s *Sandbox) define(paths ...string) error {
	_, err := envtest.InstallCRDs(s.RESTConfig(), envtest.CRDInstallOptions{Paths: paths,
		ErrorIfPathMissing: true, MaxTime: startLimit})
	return err
}
