package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// The parts of SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3) that a program's bill of materials needs.
type (
	spdxDocument struct {
		Version           string             `json:"spdxVersion"`
		DataLicense       string             `json:"dataLicense"`
		ID                string             `json:"SPDXID"`
		Name              string             `json:"name"`
		DocumentNamespace string             `json:"documentNamespace"`
		CreationInfo      spdxCreation       `json:"creationInfo"`
		Packages          []spdxPackage      `json:"packages"`
		Relationships     []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID               string         `json:"SPDXID"`
		Name             string         `json:"name"`
		Version          string         `json:"versionInfo"`
		DownloadLocation string         `json:"downloadLocation"`
		FilesAnalyzed    bool           `json:"filesAnalyzed"`
		Checksums        []spdxChecksum `json:"checksums,omitempty"`
		ExternalRefs     []spdxRef      `json:"externalRefs,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

const (
	spdxDocumentID = "SPDXRef-DOCUMENT"
	noAssertion    = "NOASSERTION"
)

// billOfMaterials lists what the linker says went into the programs: their modules and the Go standard library. Its time is the
// epoch and its name the programs' hash, for the image must come out the same each time.
func billOfMaterials(programs []program, version string) ([]byte, error) {
	d := spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: spdxDocumentID, Name: "epitaph " + version,
		CreationInfo: spdxCreation{Created: "1970-01-01T00:00:00Z", Creators: []string{"Tool: epitaph/image"}},
	}
	all := sha256.New()
	for _, p := range programs {
		all.Write(p.content)
		if err := d.describe(p, version); err != nil {
			return nil, err
		}
	}
	d.DocumentNamespace = "https://epitaph-k8s.io/spdx/" + hex.EncodeToString(all.Sum(nil))
	return json.MarshalIndent(d, "", "  ")
}

// describe lists a program and what is in it.
func (d *spdxDocument) describe(p program, version string) error {
	info, err := buildinfo.Read(bytes.NewReader(p.content))
	if err != nil {
		return fmt.Errorf("read the build information of %s: %w", p.name, err)
	}
	hash := sha256.Sum256(p.content)
	id := "SPDXRef-" + p.name
	d.Packages = append(d.Packages, spdxPackage{
		ID: id, Name: info.Path, Version: version, DownloadLocation: noAssertion,
		Checksums: []spdxChecksum{{Algorithm: "SHA256", Value: hex.EncodeToString(hash[:])}},
	})
	d.relate(spdxDocumentID, "DESCRIBES", id)
	d.relate(id, "CONTAINS", d.module("stdlib", info.GoVersion))
	for _, m := range info.Deps {
		used := effective(m)
		d.relate(id, "CONTAINS", d.module(used.Path, used.Version))
	}
	return nil
}

// effective is what a replace directive puts in a module's place.
func effective(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

func (d *spdxDocument) relate(element, kind, related string) {
	d.Relationships = append(d.Relationships, spdxRelationship{Element: element, Type: kind, Related: related})
}

// module lists a Go module once, under the name by which scanners find it, and returns its ID.
func (d *spdxDocument) module(path, version string) string {
	for _, p := range d.Packages {
		if p.Name == path && p.Version == version {
			return p.ID
		}
	}
	id := fmt.Sprintf("SPDXRef-module-%d", len(d.Packages))
	d.Packages = append(d.Packages, spdxPackage{
		ID: id, Name: path, Version: version, DownloadLocation: noAssertion,
		ExternalRefs: []spdxRef{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: "pkg:golang/" + path + "@" + version}},
	})
	return id
}
