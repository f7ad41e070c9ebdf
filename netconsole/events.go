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

// A Recorder writes Events. It is events.EventRecorder of client-go.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// events are what the people who look at a Node are told.
type events struct{ recorder Recorder }

func (e events) doubted(d death) {
	e.warn(d.node, d.uid, EventPanicDoubted,
		"A kernel panic was heard (%s), but user space of the node still answers: nothing is done unless it falls silent", d.line)
}

func (e events) refused(d death, v verdict) {
	because := map[verdict]string{
		verdictAlive:    "user space of the node goes on answering: the datagram was forged, or the listener is misled",
		verdictRebooted: "the node is back under another boot ID",
		verdictGone:     "the Node is gone",
		verdictUnproven: "the node is silent, but it never answered before and has no Lease: its death cannot be proven",
		verdictForged:   "its token is not the one of this boot, so somebody else sent it",
		verdictBraked:   "too many nodes were declared dead lately",
	}[v]
	e.warn(d.node, d.uid, EventPanicRefused,
		"A kernel panic was heard (%s) and is not acted upon: "+because, d.line)
}

func (e events) retracted(d death, because error) {
	e.warn(d.node, d.uid, EventPanicRetracted,
		"The node was found dead of a kernel panic (%s), but "+because.Error()+": it stays", d.line)
}

func (e events) contested(node *corev1.Node, address netip.Addr) {
	e.warn(node.Name, node.UID, EventAddressContested,
		"Another node claims the address %s as well: no panic from there is believed",
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
