package krew

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"
)

// ManifestName is the file that `krew install --manifest` takes; krew wants it called as the
// plugin.
const ManifestName = "epitaph.yaml"

//go:embed epitaph.yaml.tmpl
var manifestText string

var manifestTemplate = template.Must(template.New(ManifestName).Parse(manifestText))

func manifest(version string, archives []Archive) ([]byte, error) {
	var made bytes.Buffer
	err := manifestTemplate.Execute(&made, struct {
		Version, License string
		Archives         []Archive
	}{version, licenseName, archives})
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	return made.Bytes(), nil
}
