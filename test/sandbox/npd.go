package sandbox

import (
	"context"
	"net/url"
	"strings"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// npd names the program, and its service account in kube-system, which has the role that Kubernetes
// ships for it.
const npd = "node-problem-detector"

// StartNPD starts a node-problem-detector for a node, as a process that Stop ends, with these
// configurations of its log monitors and of its custom plugins.
func (s *Sandbox) StartNPD(ctx context.Context, node string, logs,
	plugins []string) (*Process, error) {
	paths, err := binaries.Ensure(ctx, s.options.Out, binaries.NPD)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := s.serviceAccount(ctx, npd, "system:"+npd)
	if err != nil {
		return nil, err
	}
	server := s.server + "?" + url.Values{"inClusterConfig": {"false"},
		"auth": {kubeconfig}}.Encode()
	args := []string{"--apiserver-override=" + server, "--hostname-override=" + node,
		"--port=0", "--prometheus-port=0"}
	if len(logs) > 0 {
		args = append(args, "--config.system-log-monitor="+strings.Join(logs, ","))
	}
	if len(plugins) > 0 {
		args = append(args, "--config.custom-plugin-monitor="+strings.Join(plugins, ","))
	}
	return s.Launch(npd+"-"+node, paths[npd], args...)
}

// NPDConfig is a folder of the node-problem-detector's own configurations.
func NPDConfig(ctx context.Context) (string, error) {
	dir, err := binaries.Module(ctx, binaries.NPD, "k8s.io/node-problem-detector")
	return dir + "/config", err
}
