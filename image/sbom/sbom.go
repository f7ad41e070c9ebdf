// Package sbom writes bills of materials of Go programs in SPDX: what went in according to the
// linker.
//
// Invariant: the same programs give the same bytes.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	documentID  = common.ElementID("DOCUMENT")
	noAssertion = "NOASSERTION"
)

// A bill is a bill of materials in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3).
type bill struct{ spdx.Document }

// A Program is one that is described.
type Program struct {
	Name    string
	Content []byte
}

// Of lists what the linker says went into the programs: their modules and the Go
// standard library. Its time is the epoch and its name the programs' hash, for the image must come
// out the same each time.
func Of(programs []Program, version string) ([]byte, error) {
	d := bill{spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: documentID,
		DocumentName: "epitaph " + version,
		CreationInfo: &spdx.CreationInfo{
			Created:  "1970-01-01T00:00:00Z",
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "epitaph/image"}},
		},
	}}
	all := sha256.New()
	for _, p := range programs {
		all.Write(p.Content)
		if err := d.describe(p, version); err != nil {
			return nil, err
		}
	}
	d.DocumentNamespace = "https://epitaph-k8s.io/spdx/" + hex.EncodeToString(all.Sum(nil))
	return json.MarshalIndent(d.Document, "", "  ")
}

// describe lists a program and what is in it.
func (d *bill) describe(p Program, version string) error {
	info, err := buildinfo.Read(bytes.NewReader(p.Content))
	if err != nil {
		return fmt.Errorf("read the build information of %s: %w", p.Name, err)
	}
	hash := sha256.Sum256(p.Content)
	id := common.ElementID(p.Name)
	d.Packages = append(d.Packages, &spdx.Package{
		PackageSPDXIdentifier: id, PackageName: info.Path, PackageVersion: version,
		PackageDownloadLocation: noAssertion,
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256,
			Value: hex.EncodeToString(hash[:])}},
	})
	d.relate(documentID, "DESCRIBES", id)
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

func (d *bill) relate(element common.ElementID, kind string, related common.ElementID) {
	d.Relationships = append(d.Relationships, &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: element}, Relationship: kind,
		RefB: common.DocElementID{ElementRefID: related},
	})
}

// module lists a Go module once, under the name by which scanners find it, and returns its ID.
func (d *bill) module(path, version string) common.ElementID {
	for _, p := range d.Packages {
		if p.PackageName == path && p.PackageVersion == version {
			return p.PackageSPDXIdentifier
		}
	}
	id := common.ElementID(fmt.Sprintf("module-%d", len(d.Packages)))
	d.Packages = append(d.Packages, &spdx.Package{
		PackageSPDXIdentifier: id, PackageName: path, PackageVersion: version,
		PackageDownloadLocation: noAssertion,
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL,
			Locator: "pkg:golang/" + path + "@" + version,
		}},
	})
	return id
}
