// Package podcache keeps the pods of a large cluster in little memory: a controller-runtime cache
// that is built with NewInformer holds a record of some hundred bytes for each Pod, and makes a
// *corev1.Pod of it for whoever reads or follows.
//
// What comes out has who the pod is, what is read of its labels, annotations and conditions, where
// it runs or, while it waits for a node, what it demands of one, who owns it, and how it ends;
// nothing else of it. Every reader gets a pod of their own, which they may change. Nodes and
// NodeObituaries are kept without the parts that Epitaph does not read.
//
// Which kinds are cached, how they are indexed and when they are looked at again is
// controller-runtime's business, not this package's.
package podcache
