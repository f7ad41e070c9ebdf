// Package chart proves that Helm installs Epitaph: the real Helm, cert-manager's real controllers,
// the real control plane, and replicas that run as the chart's templates say (test/chart/kubelet),
// asked by the API server through their Service.
//
// It runs in a network namespace of its own, where every address of the nodes and pods is this
// machine's.
package chart
