package sandbox

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// installDefinitions installs the chart's custom resource definitions and waits until the API server serves them.
func (s *Sandbox) installDefinitions(context.Context) error {
	checkout, err := binaries.Checkout()
	if err != nil {
		return err
	}
	_, err = envtest.InstallCRDs(s.RESTConfig(), envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(checkout, "charts", "epitaph", "crds")}, ErrorIfPathMissing: true,
	})
	if err != nil {
		return fmt.Errorf("install the custom resource definitions: %w", err)
	}
	return nil
}

// writeObjects creates what the manifests hold, in the order in which they hold it.
func (s *Sandbox) writeObjects(ctx context.Context) error {
	writer, err := client.New(s.RESTConfig(), client.Options{})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	files, err := fs.Glob(manifests, "manifests/*.yaml")
	if err != nil {
		return fmt.Errorf("list the manifests: %w", err)
	}
	for _, file := range files {
		objects, err := decodeObjects(file)
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := writer.Create(ctx, object); err != nil {
				return fmt.Errorf("create %s %s of %s: %w", object.GetKind(), object.GetName(), file, err)
			}
		}
	}
	return nil
}

func decodeObjects(file string) ([]*unstructured.Unstructured, error) {
	content, err := manifests.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", file, err)
		}
		objects = append(objects, object)
	}
}
