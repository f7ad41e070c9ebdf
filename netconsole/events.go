package netconsole

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Reasons of the Events on a Node.
const (
	EventPanicDoubted     = "KernelPanicDoubted"
	EventPanicRefused     = "KernelPanicRefused"
	EventPanicRetracted   = "KernelPanicRetracted"
	EventAddressContested = "AddressContested"
	eventAction           = "Netconsole"
)

// A Recorder writes Events; client-go's events.EventRecorder is one.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// events writes the Events that explain panics to people who look at a Node.
type events struct{ recorder Recorder }

func (e events) doubted(d kernelPanic) {
	e.warn(d.node, d.uid, EventPanicDoubted,
		"A kernel panic was heard (%s), but the node's user space still answers: nothing is done unless it falls silent", d.line)
}

func (e events) refused(d kernelPanic, v verdict) {
	because := map[verdict]string{
		verdictAlive:    "the node's user space still answers: the datagram was forged, or the listener is misled",
		verdictRebooted: "the node is back under another boot ID",
		verdictGone:     "the Node is gone",
		verdictUnproven: "the node is silent, but it never answered before and has no Lease: its death cannot be proven",
		verdictForged:   "its token is not the one of this boot, so somebody else sent it",
		verdictBraked:   "too many nodes were declared dead recently",
	}[v]
	e.warn(d.node, d.uid, EventPanicRefused,
		"A kernel panic was heard (%s) but not acted upon: "+because, d.line)
}

func (e events) retracted(d kernelPanic, because error) {
	e.warn(d.node, d.uid, EventPanicRetracted,
		"The node was found dead of a kernel panic (%s), but "+because.Error()+": it stays", d.line)
}

func (e events) contested(node *corev1.Node, address netip.Addr) {
	e.warn(node.Name, node.UID, EventAddressContested,
		"Another node claims the address %s as well: panics from there are ignored",
		address.String())
}

// eventLineBytes bounds the kernel's words in an Event, whose note holds 1 KiB.
const eventLineBytes = 256

func (e events) warn(node string, uid types.UID, why, note, untrusted string) {
	untrusted = string(reason.Clean(untrusted))
	if len(untrusted) > eventLineBytes {
		untrusted = string(reason.Clean(untrusted[:eventLineBytes])) + "…"
	}
	regarding := &corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: node, UID: uid}
	e.recorder.Eventf(regarding, nil, corev1.EventTypeWarning, why, eventAction, note, untrusted)
}
