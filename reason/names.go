package reason

import corev1 "k8s.io/api/core/v1"

// The annotations that Epitaph writes beside the reasons of a [KeySet]. Each name is written here
// and nowhere else (test/arch).
const (
	// EvidenceKey is the annotation of a Node that holds evidence: what is known to have happened
	// to the machine, before it is known whether the node will really go. Its value is a JSON array
	// of [Evidence].
	EvidenceKey = "epitaph-k8s.io/evidence"
	// MarkedDeadKey is the annotation of a Node that was found dead, and whose pods and Node object
	// have to go: one piece of evidence as JSON, with the boot that died. It is a durable intent:
	// whoever reads it can finish the work, and only the boot that it names may be removed.
	MarkedDeadKey = "epitaph-k8s.io/marked-dead"
	// WrittenKey is the annotation that marks what Epitaph wrote before a deletion: the minute in
	// which it did, one word about what was written, and the user who asked for the deletion, as
	// the API server authenticated them. A single space separates the three; the name of a user may
	// contain more.
	WrittenKey = "epitaph-k8s.io/reason-written"
	// VerdictKey is the annotation of a Pod that Epitaph failed: what programs need to know of its
	// end, as the JSON of a v1alpha1.Verdict.
	VerdictKey = "epitaph-k8s.io/verdict"
	// AgentKey is the annotation of a Node in which its agent says, as JSON, whether a panic of
	// this kernel would be heard.
	AgentKey = "epitaph-k8s.io/agent"
	// TokenKey is the annotation of a Node that identifies the secret its kernel adds to all it
	// sends: the boot ID, a colon, and the SHA-256 of the secret in hex. The agent draws a secret
	// at each boot, and annotates the Node before it makes the kernel send: so whoever cannot read
	// the node's configfs, or the wire, cannot speak for it. The boot ID is there because the
	// annotation outlives the boot: what was recorded in an earlier boot must not count as signed
	// after the next.
	TokenKey = "epitaph-k8s.io/netconsole-token"
	// ReleaseKey is the annotation of a NodeObituary that, with any value that is not empty, lets
	// the pods of a node that left unexplained go although the brake holds them.
	ReleaseKey = "epitaph-k8s.io/release-pods"
	// HandedOverKey is the label of a PodObituary in Epitaph's own namespace that waits there for
	// the archive: it names the namespace of the pod, in which nothing can be created any more.
	HandedOverKey = "epitaph-k8s.io/pod-namespace"
	// HeldKey is the annotation of a NodeObituary that says since when the collector's brake holds
	// the pods of the node.
	HeldKey = "epitaph-k8s.io/pods-held-since"
)

// HeldIn is the condition that holds a pod's reason if its annotations cannot: they may be full
// (256 KiB for all of them), or somebody's policy may guard them. The API server drops the
// conditions of a pod that is created, and only those who may write pods/status can add one
// afterwards. Its reason is the code; its message is the text and, on a second line, who did it.
const HeldIn corev1.PodConditionType = "epitaph-k8s.io/TerminationReason"

// Values of [Reason].By if no user removed the object.
const (
	// ByGC is the collector of pods, if nothing better is known.
	ByGC = "epitaph/gc"
	// ByNetconsole is the listener for kernel panics: it removes a panicked node and its pods.
	ByNetconsole = "epitaph/netconsole"
	// UnknownRemover stands for whoever deleted an object if nobody saw who it was.
	UnknownRemover = "an unknown remover"
)

// NodeNameField selects pods, and obituaries, by their node: it is an index of the caches, and a
// field selector of the API server.
const NodeNameField = "spec.nodeName"
