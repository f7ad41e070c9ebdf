package helmchart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The media types by which Helm knows a chart (helm pkg/registry/constants.go).
const (
	configType  types.MediaType = "application/vnd.cncf.helm.config.v1+json"
	archiveType types.MediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
)

// Tag is the chart's in a registry: its version. Helm writes an underscore for a plus, which no tag
// may have.
func (c Chart) Tag() string { return strings.ReplaceAll(c.Version, "+", "_") }

// Artifact is the chart as `helm push` puts it into a registry: Chart.yaml as the configuration,
// and the archive as the one layer.
func (c Chart) Artifact() (v1.Image, error) {
	layer := static.NewLayer(c.Archive, archiveType)
	described, err := partial.Descriptor(layer)
	if err != nil {
		return nil, fmt.Errorf("describe the chart: %w", err)
	}
	digest, size, err := v1.SHA256(bytes.NewReader(c.metadata))
	if err != nil {
		return nil, fmt.Errorf("digest the chart's description: %w", err)
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: configType, Digest: digest, Size: size},
		Layers: []v1.Descriptor{*described},
		Annotations: map[string]string{
			"org.opencontainers.image.title":   c.Name,
			"org.opencontainers.image.version": c.Version,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("write the chart's manifest: %w", err)
	}
	return partial.CompressedToImage(artifact{c.metadata, manifest, layer})
}

// An artifact is what partial.CompressedToImage asks for.
type artifact struct {
	config, manifest []byte
	layer            v1.Layer
}

func (a artifact) RawConfigFile() ([]byte, error) { return a.config, nil }

func (a artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func (a artifact) RawManifest() ([]byte, error) { return a.manifest, nil }

func (a artifact) LayerByDigest(v1.Hash) (partial.CompressedLayer, error) { return a.layer, nil }

// order has Chart.yaml first: whoever looks for it reads no further.
func order(files map[string][]byte) []string {
	names := slices.Sorted(maps.Keys(files))
	first := slices.Index(names, chartFile)
	return append([]string{chartFile}, slices.Delete(names, first, first+1)...)
}
