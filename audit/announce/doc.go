// Package announce writes Events that say why pods left: on the pod, on every controller above it
// and on its node.
//
// Events are a convenience and must stay cheap: a drain of thousands of pods takes a few writes.
// The pods of one owner that leave for the same cause share one Event ([series]), which has their
// number and the latest names. It is written soon after the first pod left, then less and less
// often while it grows, and once more when it stops growing. Different causes never share an Event.
// A token bucket bounds the writes; a pod's own Event comes last, and is left out when many pods
// leave.
//
// client-go's recorder counts similar Events and keeps the note of the first: of a ReplicaSet that
// lost pods for three causes it would report one. This package writes core/v1 Events, whose message
// may be patched; events.k8s.io forbids that (K8s v1.37 pkg/apis/core/validation/events.go).
//
// What this package does not do: find out why a pod left. The recorder says so.
package announce
