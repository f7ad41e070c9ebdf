// Package installed holds the test that installs the chart with the real Helm on a real kubelet:
// the image as it is built, its programs in containers, with the security contexts, mounts and
// probes of the chart.
package installed
