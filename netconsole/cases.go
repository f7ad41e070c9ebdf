package netconsole

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// maxLooks is how many cases are looked at at the same time; as many again that are signed, which
// wait for nobody else.
const maxLooks = 32

// An openCase is about a node whose panic was heard. The undertaker's lock guards all of it but
// what never changes: the node, its boot, and whether it is inherited.
type openCase struct {
	death
	trial trial
	// inherited is set where the intent is somebody else's, or from before a restart.
	inherited bool
	// doubted is set once it was said aloud that user space answers.
	doubted bool
	// judged is set with the verdict.
	judged bool
	// left is what is still to be written once it is judged, and tries how often that has failed.
	left  func(context.Context) error
	tries int
	// next is a panic of a later boot of the node, which waits until this case is closed.
	next *death
}

// cases are the open ones, one per node at most, and the queues of those that are to be looked at.
type cases struct {
	open map[types.UID]*openCase
	// urgent has those that are signed, patient the others.
	urgent, patient workqueue.TypedDelayingInterface[types.UID]
}

// Names of the queues, which client-go's own metrics have as labels.
const (
	QueueSigned   = "netconsole-signed"
	QueueUnsigned = "netconsole-unsigned"
)

func newCases() cases {
	queue := func(name string) workqueue.TypedDelayingInterface[types.UID] {
		return workqueue.NewTypedDelayingQueueWithConfig(
			workqueue.TypedDelayingQueueConfig[types.UID]{Name: name})
	}
	return cases{open: map[types.UID]*openCase{}, urgent: queue(QueueSigned),
		patient: queue(QueueUnsigned)}
}

func (c *cases) shutDown() {
	c.urgent.ShutDown()
	c.patient.ShutDown()
}

// queue is where the case waits its turn.
func (c *cases) queue(of *openCase) workqueue.TypedDelayingInterface[types.UID] {
	if of.trial.trust == trustSigned {
		return c.urgent
	}
	return c.patient
}

// open opens a case about the node, to be looked at after a while; false if there is one already.
func (u *undertaker) open(c *openCase, after time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended || u.cases.open[c.uid] != nil {
		return false
	}
	u.cases.open[c.uid] = c
	u.work.Add(1)
	u.cases.queue(c).AddAfter(c.uid, after)
	return true
}

// close closes the case. If the node lives, its ring is to take its words again. A panic of a later
// boot is tried next.
func (u *undertaker) close(c *openCase) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cases.open[c.uid] != c {
		return
	}
	if c.next != nil && !u.ended {
		next := u.caseOf(*c.next)
		u.cases.open[c.uid] = next
		u.cases.queue(next).Add(c.uid)
		return // the work goes on
	}
	delete(u.cases.open, c.uid)
	c.words.release()
	u.work.Done()
}

// A joining is what becomes of a panic of a node that there may be a case about.
type joining uint8

const (
	// joinedNone is where there is none.
	joinedNone joining = iota
	joinedCase
	// joinedLater is a panic that is tried after the case.
	joinedLater
)

// join adds a panic to the case about its node, if there is one. That of a later boot is not what
// the case is about, which ends because the node has booted: it has a case of its own then.
func (u *undertaker) join(d death) joining {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.cases.open[d.uid]
	switch {
	case c == nil:
		return joinedNone
	case d.bootID != c.bootID && c.next == nil:
		c.next = &d
		u.cases.queue(c).Add(c.uid)
		return joinedLater
	case d.bootID != c.bootID:
		if d.bootID != c.next.bootID || d.trust > c.next.trust {
			c.next = &d
		}
	case !c.judged && c.trial.hears(d.trust, d.heard):
		c.line, c.trust, c.heard = d.line, d.trust, d.heard
		u.cases.queue(c).Add(c.uid)
	}
	return joinedCase
}

// known is the death as it is known by now.
func (u *undertaker) known(c *openCase) death {
	u.mu.Lock()
	defer u.mu.Unlock()
	return c.death
}

// dismiss lets go of what a sender said with a panic that no case is opened about. A case that is
// open needs it still.
func (u *undertaker) dismiss(node types.UID, w words) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cases.open[node] == nil {
		w.release()
	}
}

// begin makes room for cases, which are looked at once it runs.
func (u *undertaker) begin() { u.cases = newCases() }

// run looks at cases until the context ends, and returns when all of that has stopped. What is
// unfinished then is taken up by whoever reads the intent on the Node.
func (u *undertaker) run(ctx context.Context) {
	var queues sync.WaitGroup
	for _, q := range []workqueue.TypedDelayingInterface[types.UID]{u.cases.urgent,
		u.cases.patient} {
		stop := context.AfterFunc(ctx, q.ShutDown)
		defer stop()
		queues.Go(func() { u.serve(ctx, q) })
	}
	queues.Wait()
	u.mu.Lock()
	u.ended = true
	left := u.cases.open
	u.cases.open = map[types.UID]*openCase{}
	u.mu.Unlock()
	for range left {
		u.work.Done()
	}
}

// serve looks at the cases of a queue, at so many at a time.
func (u *undertaker) serve(ctx context.Context, q workqueue.TypedDelayingInterface[types.UID]) {
	seats := make(chan struct{}, maxLooks)
	var looks sync.WaitGroup
	defer looks.Wait()
	for {
		node, ended := q.Get()
		if ended {
			return
		}
		seats <- struct{}{}
		looks.Go(func() {
			defer func() { <-seats }()
			defer q.Done(node)
			u.turn(ctx, q, node)
		})
	}
}

// turn gives the case about a node its turn. One that has become urgent since is left to the other
// queue.
func (u *undertaker) turn(ctx context.Context, q workqueue.TypedDelayingInterface[types.UID],
	node types.UID) {
	u.mu.Lock()
	c := u.cases.open[node]
	mine := c != nil && u.cases.queue(c) == q
	var left func(context.Context) error
	if mine {
		left = c.left
		mine = !c.judged || left != nil
	}
	u.mu.Unlock()
	switch {
	case !mine || ctx.Err() != nil:
	case left != nil:
		u.write(ctx, q, c, left)
	default:
		if v, wait := u.look(ctx, c); v == verdictPending {
			q.AddAfter(node, wait)
		} else {
			u.judge(ctx, c, v)
		}
	}
}

// write does what is left to be written about a case that is judged, again and again until it is
// done.
func (u *undertaker) write(ctx context.Context, q workqueue.TypedDelayingInterface[types.UID],
	c *openCase, left func(context.Context) error) {
	err := left(ctx)
	if err == nil {
		u.close(c)
		return
	}
	if c.tries++; c.tries == 1 {
		u.log.Error(err, "evidence not written yet", "node", c.node)
	}
	q.AddAfter(c.uid, min(firstRetry<<min(c.tries, maxDoublings), lastRetry))
}
