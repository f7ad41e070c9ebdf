package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// reportModules are where the definitions of the kinds of reports are: a module, the folder of the
// checkout whose go.mod has it, and the folder in it.
var reportModules = map[string]struct{ module, dir, crds string }{
	config.OpenReports: {"github.com/openreports/reports-api", ".", "config/crd"},
	config.PolicyReport: {"github.com/kyverno/kyverno", "test/policyreports",
		"config/crds/policyreport"},
}

// DefineReports has the API server know the reports of a format.
func (s *Sandbox) DefineReports(ctx context.Context, format string) error {
	checkout, err := binaries.Checkout()
	if err != nil {
		return err
	}
	m := reportModules[format]
	dir, err := moduleDir(ctx, filepath.Join(checkout, m.dir), m.module)
	if err != nil {
		return err
	}
	if err := s.define(filepath.Join(dir, m.crds)); err != nil {
		return fmt.Errorf("install the definitions of %s: %w", format, err)
	}
	return nil
}

// moduleDir is where the version of a module is that a folder's go.mod names; it is downloaded
// where it is not there yet.
func moduleDir(ctx context.Context, dir, module string) (string, error) {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	download.Dir = dir
	answer, err := download.Output()
	if err != nil {
		return "", fmt.Errorf("download the module %s: %w", module, err)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(answer, &found); err != nil {
		return "", fmt.Errorf("find the module %s: %w", module, err)
	}
	return found.Dir, nil
}

// GrantReports gives Epitaph the rights that the chart gives it where this configuration has it
// report findings.
func (s *Sandbox) GrantReports(ctx context.Context, c config.Reports) error {
	if !c.Enabled {
		return nil
	}
	return s.Grant(ctx, "reports-"+strings.ToLower(c.Format)+".yaml")
}

// Grant gives Epitaph the rights in a file of the chart's.
func (s *Sandbox) Grant(ctx context.Context, file string) error {
	checkout, err := binaries.Checkout()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(checkout, "charts", "epitaph", "files", file))
	if err != nil {
		return fmt.Errorf("read rights of the chart: %w", err)
	}
	writer, err := client.New(s.RESTConfig(), client.Options{})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	return createAll(ctx, writer, content)
}
