// Package bench measures Epitaph on the real control plane, where nothing but the numbers matters:
// the nodes of a benchmark have no kubelet, and its pods are bound when they are created. Programs
// are in the folders below; each prints its results as lines `RESULT name value unit`.
package bench
