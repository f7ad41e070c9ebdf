package netconsole

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A kernelPanic is what was heard of a panic: which boot of which Node, and what its kernel said.
type kernelPanic struct {
	node   string
	uid    types.UID
	bootID string
	// line is the kernel's own cause of death.
	line string
	// words are that line with those before and after. They are read late: a kernel goes on
	// printing for a moment.
	words words
	heard time.Time
	trust trust
}

// words are the last lines of a kernel, held until they are released.
type words interface {
	lines() []string
	release()
}

// detail is the part of a kernel's words that an intent holds.
type detail string

func (d detail) lines() []string { return []string{string(d)} }

func (detail) release() {}

func (k kernelPanic) reason() reason.Reason {
	return reason.New(reason.Node, reason.KernelPanic, k.line, reason.ByNetconsole)
}

func (k kernelPanic) evidence() reason.Evidence {
	return reason.Evidence{What: reason.EvidencePanic, Who: reason.ByNetconsole,
		Detail: string(reason.Clean(k.line)), When: k.heard, BootID: k.bootID}
}

// panicOnRecord is the panic that a Node marked dead refers to. It is not known who wrote that, or
// what made them sure.
func panicOnRecord(node *corev1.Node, e reason.Evidence, heard time.Time) kernelPanic {
	return kernelPanic{
		node: node.Name, uid: node.UID, bootID: e.BootID, line: e.Detail, heard: heard,
		words: detail(e.Detail), trust: trustUnsigned,
	}
}
