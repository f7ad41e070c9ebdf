package sandbox

import (
	"context"
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// certManager names the process, its identity, and the namespace in which a real installation runs.
const certManager = "cert-manager"

// StartCertManager installs cert-manager's definitions and starts its controllers and its CA
// injector, as one process that Stop ends. It acts as an administrator: its own rights are not what
// is tested here. Helm's path is in Programs afterwards.
func (s *Sandbox) StartCertManager(ctx context.Context) error {
	paths, err := binaries.Ensure(ctx, s.options.Out, binaries.ChartTools)
	if err != nil {
		return err
	}
	s.Programs["helm"] = paths["helm"]
	definitions, err := certManagerDefinitions(ctx)
	if err != nil {
		return err
	}
	if err := s.define(definitions); err != nil {
		return fmt.Errorf("install cert-manager's definitions: %w", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: certManager}}
	if _, err := s.client.CoreV1().Namespaces().Create(ctx, namespace,
		metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the namespace of cert-manager: %w", err)
	}
	_, err = s.Launch(certManager, paths["certmanager"],
		"--kubeconfig="+s.path("kubeconfigs", certManager))
	return err
}

// certManagerDefinitions is a folder of the module's; the definitions are those of the release that
// was built.
func certManagerDefinitions(ctx context.Context) (string, error) {
	dir, err := binaries.Module(ctx, binaries.ChartTools, "github.com/cert-manager/cert-manager")
	return filepath.Join(dir, "deploy", "crds"), err
}
