package netconsole

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// maxRereads bounds how often the intent is tried again at once because somebody else wrote to the
// Node in between.
const maxRereads = 8

// A death is what a trial has found, and a burial acts upon: this boot of this Node, and what its
// kernel said.
type death struct {
	node   string
	uid    types.UID
	bootID string
	// line is what the kernel said that it died of.
	line string
	// words are that with the lines before and after. They are asked for late: a kernel goes on
	// talking for a moment.
	words words
	heard time.Time
	trust trust
}

// words are the last lines of a kernel, which are held until they are released.
type words interface {
	lines() []string
	release()
}

// detail is what an intent holds of a kernel's words.
type detail string

func (d detail) lines() []string { return []string{string(d)} }

func (detail) release() {}

func (d death) reason() reason.Reason {
	return reason.New(reason.Node, reason.KernelPanic, d.line, reason.ByNetconsole)
}

func (d death) evidence() reason.Evidence {
	return reason.Evidence{What: reason.EvidencePanic, Who: reason.ByNetconsole,
		Detail: string(reason.Clean(d.line)), When: d.heard, BootID: d.bootID}
}

// deathOf is the death that a Node marked dead speaks of. Who wrote that, and what made them sure,
// is not known.
func deathOf(node *corev1.Node, e reason.Evidence, heard time.Time) death {
	return death{
		node: node.Name, uid: node.UID, bootID: e.BootID, line: e.Detail, heard: heard,
		words: detail(e.Detail), trust: trustUnsigned,
	}
}

// What ends a burial before its last step.
var (
	errGone     = errors.New("the Node is gone")
	errRebooted = errors.New("the node has booted again")
	errAlive    = errors.New("user space of the node answers")
	errTaken    = errors.New("another replica buries the node")
)

// A step of a burial can be repeated at any time, by any replica.
type step struct {
	name string
	do   func(*burial, context.Context) error
}

// steps are the order of a burial. The intent comes first because whatever is changed afterwards
// can be finished by whoever reads it. The obituary comes before the Node because the Node's
// deletion ends what a replica could take up.
var steps = []step{
	{"intent", (*burial).markDead},
	{"pods", (*burial).terminatePods},
	{"obituary", (*burial).writeObituary},
	{"node", (*burial).deleteNode},
}

// A burial removes a node that is proven dead, and all that was bound to it.
type burial struct {
	*undertaker
	death
	// inherited is set where the intent is somebody else's, or from before a restart.
	inherited bool
}

// markDead writes the intent onto the Node. If another replica's is there already, that one does
// the work.
func (b *burial) markDead(ctx context.Context) error {
	read := b.reader
	for range maxRereads {
		node, err := b.confirm(ctx, read)
		if err != nil {
			return err
		}
		if _, marked := termination.MarkedDead(node); marked {
			if b.inherited {
				return nil
			}
			return errTaken
		}
		err = b.terminator.MarkDead(ctx, node, b.reason(), b.evidence())
		if errors.Is(err, termination.ErrUnwritable) {
			// Without the intent nobody can finish what this replica leaves undone, and two may do
			// the same; dead it is all the same.
			b.log.Error(err, "intent not written, burying the node without", "node", b.node)
			return nil
		}
		if !errors.Is(err, termination.ErrChanged) {
			return gone(err)
		}
		read = b.live
	}
	return fmt.Errorf("mark node %s dead: %w", b.node, termination.ErrChanged)
}

// writeObituary hands over what the kernel said.
func (b *burial) writeObituary(ctx context.Context) error {
	node, err := b.confirm(ctx, b.live)
	if err != nil {
		return err
	}
	if err := b.obituary.RecordPanic(ctx, node, b.reason(), b.words.lines()); err != nil {
		return fmt.Errorf("write the obituary of node %s: %w", b.node, err)
	}
	return nil
}

// deleteNode deletes the Node. That its boot is still the one that died is read immediately before;
// the UID is a precondition.
func (b *burial) deleteNode(ctx context.Context) error {
	node, err := b.confirm(ctx, b.live)
	if err != nil {
		return err
	}
	if err := b.terminator.Delete(ctx, node); !errors.Is(err, termination.ErrGone) {
		return err
	}
	return nil
}

// confirm reads the Node and makes sure that it still is the one that died, in the boot that died.
func (b *burial) confirm(ctx context.Context, from client.Reader) (*corev1.Node, error) {
	node := &corev1.Node{}
	err := from.Get(ctx, types.NamespacedName{Name: b.node}, node)
	switch {
	case apierrors.IsNotFound(err), err == nil && node.UID != b.uid:
		return nil, errGone
	case err != nil:
		return nil, fmt.Errorf("read node %s: %w", b.node, err)
	case node.Status.NodeInfo.BootID != b.bootID:
		return nil, errRebooted
	default:
		return node, nil
	}
}

func gone(err error) error {
	if errors.Is(err, termination.ErrGone) {
		return errGone
	}
	return err
}
