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
	spdxProgramID  = "SPDXRef-epitaph"
	noAssertion    = "NOASSERTION"
)

// billOfMaterials lists what the linker says went into the program: its modules and the Go standard library. Its time is the
// epoch and its name the program's hash, for the image must come out the same each time.
func billOfMaterials(program []byte, version string) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("read the program's build information: %w", err)
	}
	hash := sha256.Sum256(program)
	digest := hex.EncodeToString(hash[:])
	d := spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: spdxDocumentID, Name: "epitaph " + version,
		DocumentNamespace: "https://epitaph-k8s.io/spdx/" + digest,
		CreationInfo:      spdxCreation{Created: "1970-01-01T00:00:00Z", Creators: []string{"Tool: epitaph/image"}},
		Packages: []spdxPackage{{
			ID: spdxProgramID, Name: info.Main.Path, Version: version, DownloadLocation: noAssertion,
			Checksums: []spdxChecksum{{Algorithm: "SHA256", Value: digest}},
		}},
		Relationships: []spdxRelationship{{Element: spdxDocumentID, Type: "DESCRIBES", Related: spdxProgramID}},
	}
	d.add("stdlib", info.GoVersion)
	for _, module := range info.Deps {
		used := effective(module)
		d.add(used.Path, used.Version)
	}
	return json.MarshalIndent(d, "", "  ")
}

// effective is what a replace directive puts in a module's place.
func effective(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

// add lists a Go module under the name by which scanners find it.
func (d *spdxDocument) add(path, version string) {
	id := fmt.Sprintf("SPDXRef-module-%d", len(d.Packages))
	d.Packages = append(d.Packages, spdxPackage{
		ID: id, Name: path, Version: version, DownloadLocation: noAssertion,
		ExternalRefs: []spdxRef{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: "pkg:golang/" + path + "@" + version}},
	})
	d.Relationships = append(d.Relationships, spdxRelationship{Element: spdxProgramID, Type: "CONTAINS", Related: id})
}
