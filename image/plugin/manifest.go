package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"
)

// manifestName is the file that `krew install --manifest` takes; krew wants it called as the
// plugin.
const manifestName = "epitaph.yaml"

//go:embed epitaph.yaml.tmpl
var manifestText string

var manifestTemplate = template.Must(template.New(manifestName).Parse(manifestText))

func manifest(version string, archives []archive) ([]byte, error) {
	var made bytes.Buffer
	err := manifestTemplate.Execute(&made, struct {
		Version, License string
		Archives         []archive
	}{version, licenseName, archives})
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	return made.Bytes(), nil
}
