package sandbox

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// MonitoringDefinitions are the files that define those of the Prometheus operator's kinds which
// the chart has objects of.
func MonitoringDefinitions(ctx context.Context) ([]string, error) {
	dir, err := binaries.Module(ctx, binaries.PromTools,
		"github.com/prometheus-operator/prometheus-operator")
	if err != nil {
		return nil, err
	}
	var files []string
	for _, kind := range []string{"servicemonitors", "podmonitors", "prometheusrules"} {
		files = append(files, filepath.Join(dir,
			"example", "prometheus-operator-crd", "monitoring.coreos.com_"+kind+".yaml"))
	}
	return files, nil
}

// InstallMonitoringDefinitions has the API server know these kinds. Nobody acts upon their objects:
// the operator is not here.
func (s *Sandbox) InstallMonitoringDefinitions(ctx context.Context) error {
	files, err := MonitoringDefinitions(ctx)
	if err != nil {
		return err
	}
	if err := s.define(files...); err != nil {
		return fmt.Errorf("install the definitions of the Prometheus operator: %w", err)
	}
	return nil
}
