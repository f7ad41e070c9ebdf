package reason

import (
	corev1 "k8s.io/api/core/v1"
)

// pools are the labels that name the pool of a Node, with their sources.
var pools = load[struct {
	Label  string `json:"label"`
	Source string `json:"source"`
}]("pools.yaml")

// maxPoolBytes is how long the value of a label may be.
const maxPoolBytes = 63

// PoolOf returns the name of the pool that a Node is of; empty if no label says so.
func PoolOf(node *corev1.Node) string {
	for _, p := range pools() {
		if name := node.Labels[p.Label]; name != "" {
			return CleanTo(name, maxPoolBytes)
		}
	}
	return ""
}
