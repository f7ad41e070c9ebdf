package netconsole

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// maxLooks is how many cases of one queue are examined at the same time. Signed and unsigned cases
// have a queue each, so that signed ones never wait for the others.
const maxLooks = 32

// An openCase is about a node whose panic was heard. The panicHandler's lock guards all of it
// except what never changes: the node, its boot, and inherited.
type openCase struct {
	kernelPanic
	trial trial
	// inherited is set if the intent was written by another replica, or before a restart.
	inherited bool
	// doubted is set once we have announced that user space still answers.
	doubted bool
	// judged is set with the verdict.
	judged bool
	// left is what remains to be written once the case is judged, and tries is how often that has
	// failed.
	left  func(context.Context) error
	tries int
	// next is a panic of a later boot of the node, which waits until this case is closed.
	next *kernelPanic
}

// cases are the open ones, at most one per node, and the queues of those to be examined.
type cases struct {
	open map[types.UID]*openCase
	// urgent holds the signed cases, patient the others.
	urgent, patient workqueue.TypedDelayingInterface[types.UID]
}

// Names of the queues, used as labels of client-go's own metrics.
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

// queue returns the queue that the case waits in.
func (c *cases) queue(of *openCase) workqueue.TypedDelayingInterface[types.UID] {
	if of.trial.trust == trustSigned {
		return c.urgent
	}
	return c.patient
}

// open opens a case about the node, to be examined after the given time; false if there is one
// already.
func (p *panicHandler) open(c *openCase, after time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.cases.open[c.uid] != nil {
		return false
	}
	p.cases.open[c.uid] = c
	p.work.Add(1)
	p.cases.queue(c).AddAfter(c.uid, after)
	return true
}

// close closes the case and releases the kernel's words, so that the ring takes new ones. A panic
// of a later boot is tried next.
func (p *panicHandler) close(c *openCase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cases.open[c.uid] != c {
		return
	}
	if c.next != nil && !p.ended {
		next := p.caseOf(*c.next)
		p.cases.open[c.uid] = next
		p.cases.queue(next).Add(c.uid)
		return // the work goes on
	}
	delete(p.cases.open, c.uid)
	c.words.release()
	p.work.Done()
}

// A joining is what becomes of a panic of a node that may already have a case.
type joining uint8

const (
	// joinedNone means that there is no case.
	joinedNone joining = iota
	joinedCase
	// joinedLater is a panic that is tried once the case is closed.
	joinedLater
)

// join adds a panic to the case about its node, if there is one. A panic of a later boot belongs to
// a new case: the current one ends because the node has booted.
func (p *panicHandler) join(d kernelPanic) joining {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cases.open[d.uid]
	switch {
	case c == nil:
		return joinedNone
	case d.bootID != c.bootID && c.next == nil:
		c.next = &d
		p.cases.queue(c).Add(c.uid)
		return joinedLater
	case d.bootID != c.bootID:
		if d.bootID != c.next.bootID || d.trust > c.next.trust {
			c.next = &d
		}
	case !c.judged && c.trial.hears(d.trust, d.heard):
		c.line, c.trust, c.heard = d.line, d.trust, d.heard
		p.cases.queue(c).Add(c.uid)
	}
	return joinedCase
}

// known returns what is known of the panic by now.
func (p *panicHandler) known(c *openCase) kernelPanic {
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.kernelPanic
}

// dismiss releases the kernel's words for a panic without a case. An open case still needs them.
func (p *panicHandler) dismiss(node types.UID, w words) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cases.open[node] == nil {
		w.release()
	}
}

// begin creates the queues; cases are examined once run is called.
func (p *panicHandler) begin() { p.cases = newCases() }

// run examines cases until the context ends, and returns when all work has stopped. Whoever reads
// the intent on the Node takes up what is unfinished then.
func (p *panicHandler) run(ctx context.Context) {
	var queues sync.WaitGroup
	for _, q := range []workqueue.TypedDelayingInterface[types.UID]{p.cases.urgent,
		p.cases.patient} {
		stop := context.AfterFunc(ctx, q.ShutDown)
		defer stop()
		queues.Go(func() { p.serve(ctx, q) })
	}
	queues.Wait()
	p.mu.Lock()
	p.ended = true
	left := p.cases.open
	p.cases.open = map[types.UID]*openCase{}
	p.mu.Unlock()
	for range left {
		p.work.Done()
	}
}

// serve examines the cases of a queue, up to maxLooks at a time.
func (p *panicHandler) serve(ctx context.Context, q workqueue.TypedDelayingInterface[types.UID]) {
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
			if err := p.guard.Do("case", func() error {
				p.turn(ctx, q, node)
				return nil
			}); err != nil {
				p.turnAgain(q, node)
			}
		})
	}
}

// turn gives the case about a node its turn. A case that has become urgent since is left to the
// other queue.
func (p *panicHandler) turn(ctx context.Context, q workqueue.TypedDelayingInterface[types.UID],
	node types.UID) {
	p.mu.Lock()
	c := p.cases.open[node]
	mine := c != nil && p.cases.queue(c) == q
	var left func(context.Context) error
	if mine {
		left = c.left
		mine = !c.judged || left != nil
	}
	p.mu.Unlock()
	switch {
	case !mine || ctx.Err() != nil:
	case left != nil:
		p.write(ctx, q, c, left)
	default:
		if v, wait := p.look(ctx, c); v == verdictPending {
			q.AddAfter(node, wait)
		} else {
			p.judge(ctx, c, v)
		}
	}
}

// turnAgain schedules another turn for a case whose turn panicked.
func (p *panicHandler) turnAgain(q workqueue.TypedDelayingInterface[types.UID], node types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.cases.open[node]; c != nil {
		// What the verdict was to start has not started.
		c.judged = c.left != nil
		c.tries++
		q.AddAfter(node, c.backoff())
	}
}

// backoff returns how long to wait after that many tries.
func (c *openCase) backoff() time.Duration {
	return min(firstRetry<<min(c.tries, maxDoublings), lastRetry)
}

// write carries out what remains to be written about a judged case, and retries until it succeeds.
func (p *panicHandler) write(ctx context.Context, q workqueue.TypedDelayingInterface[types.UID],
	c *openCase, left func(context.Context) error) {
	err := left(ctx)
	if err == nil {
		p.close(c)
		return
	}
	if c.tries++; c.tries == 1 {
		p.log.Error(err, "evidence not written yet", "node", c.node)
	}
	q.AddAfter(c.uid, c.backoff())
}
