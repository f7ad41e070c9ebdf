package forward

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/internal/pause"
)

const (
	// pageSize is how many changes are read at once.
	pageSize = 100
	// lookEvery is how often it is asked what was stored.
	lookEvery = time.Second
	// keepEvery is how often it is stored how far a receiver has got: what was sent after that
	// comes twice if the process is killed.
	keepEvery = time.Second
	// maxRefusals is how often a record is sent to a receiver that refuses it.
	maxRefusals = 3
)

// backoff says how long a receiver that failed is left alone: with jitter, five minutes at most.
func backoff() wait.Backoff {
	return wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.2, Steps: 10,
		Cap: 250 * time.Second}
}

// An Outcome is what became of records that were sent in one request.
type Outcome struct {
	// Sent are those that the receiver has, and Refused those that it has not for what is in them:
	// Why. Of the rest there was nothing to say.
	Sent, Refused int
	Why           string
}

// A Sender sends records in a format.
type Sender interface {
	// Batch is how many records fit into one request.
	Batch() int
	// Send returns once the receiver has confirmed. An error that is no [*endpoint.Fault] is about
	// what is in the records.
	Send(ctx context.Context, records []archive.Record) (Outcome, error)
}

// A Receiver is somebody who is told.
type Receiver struct {
	// Name is that under which the store keeps how far it has got.
	Name   string
	Filter Filter
	Sender Sender
}

// Options are a forwarder's dependencies and configuration.
type Options struct {
	// Cluster is the cluster's name in the archive.
	Cluster    string
	Feed       archive.Feed
	Receivers  []Receiver
	Clock      clock.Clock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Forwarder is a runnable of a manager.
type Forwarder struct {
	Options
	guard   *guard.Guard
	metrics metrics
}

// New returns a Forwarder. Start it on one replica: if two did the same work, receivers would be
// told twice.
func New(o Options) (*Forwarder, error) {
	m, err := newMetrics(o.Registerer, o.Receivers)
	if err != nil {
		return nil, err
	}
	g, err := guard.New(o.Registerer, "archive-forward", o.Log)
	return &Forwarder{Options: o, guard: g, metrics: m}, err
}

// Start tells all receivers until ctx is done.
func (f *Forwarder) Start(ctx context.Context) error {
	var all errgroup.Group
	for _, receiver := range f.Receivers {
		all.Go(func() error {
			(&stream{Forwarder: f, Receiver: receiver,
				log: f.Log.WithValues("receiver", receiver.Name)}).follow(ctx)
			return nil
		})
	}
	return all.Wait()
}

// A stream tells one receiver.
type stream struct {
	*Forwarder
	Receiver
	log logr.Logger
	// in is the incarnation of the store that the marks are of.
	in archive.Incarnation
	// at is how far the receiver has got, and kept how far it was when that was stored last.
	at, kept   archive.Mark
	keptAt     time.Time
	begun      bool
	progressed bool
}

func (s *stream) follow(ctx context.Context) {
	for pauses := backoff(); ctx.Err() == nil; {
		s.progressed = false
		err := s.guard.Do("receiver "+s.Name, func() error { return s.run(ctx) })
		if ctx.Err() != nil {
			return
		}
		if s.progressed {
			pauses = backoff()
		}
		if errors.Is(err, archive.ErrReplaced) {
			s.begun = false
		}
		s.log.Error(err, "the receiver is not told for now, will be retried")
		pause.For(ctx, s.Clock, pauses.Step())
	}
}

// run tells the receiver from its stored position on, until the store fails.
func (s *stream) run(ctx context.Context) error {
	if !s.begun {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	for {
		asked := s.Clock.Now()
		changes, err := s.Feed.Changes(ctx, s.in, s.Cluster, s.at, pageSize)
		if err != nil {
			return err
		}
		err = s.tell(ctx, changes)
		if kept := s.keep(ctx); err == nil {
			err = kept
		}
		if err != nil {
			return err
		}
		if len(changes) == pageSize {
			continue
		}
		s.metrics.complete(s.Name, asked)
		if !pause.For(ctx, s.Clock, lookEvery) {
			return ctx.Err()
		}
	}
}

// begin finds the stored position. A receiver that is new is told what is stored from now on, or
// what left from the time on that it was given.
func (s *stream) begin(ctx context.Context) (err error) {
	if s.in, err = s.Feed.Incarnation(ctx); err != nil {
		return err
	}
	at, known, err := s.Feed.Reached(ctx, s.Cluster, s.Name)
	if err != nil {
		return err
	}
	if !known {
		if s.Filter.Since.IsZero() {
			if at, err = s.Feed.Newest(ctx, s.Cluster); err != nil {
				return err
			}
		}
		if err := s.Feed.Reach(ctx, s.in, s.Cluster, s.Name, at); err != nil {
			return err
		}
		s.log.Info("a new receiver is told from now on", "since", s.Filter.Since)
	}
	s.at, s.kept, s.keptAt, s.begun = at, at, s.Clock.Now(), true
	return nil
}

// tell sends those of the changes that the receiver asks for.
func (s *stream) tell(ctx context.Context, changes []archive.Change) error {
	var batch []archive.Record
	for n, c := range changes {
		if s.Filter.selects(c.Record) {
			batch = append(batch, c.Record)
		} else {
			s.metrics.count(s.Name, filtered, 1)
		}
		if len(batch) == s.Sender.Batch() || len(batch) > 0 && n == len(changes)-1 {
			if err := s.deliver(ctx, batch); err != nil {
				return err
			}
			batch = nil
		}
		if len(batch) > 0 {
			continue
		}
		s.at = c.Mark
		if s.Clock.Since(s.keptAt) >= keepEvery {
			if err := s.keep(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep stores how far the receiver has got, also when the process is about to end.
func (s *stream) keep(ctx context.Context) error {
	if s.at == s.kept {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	if err := s.Feed.Reach(ctx, s.in, s.Cluster, s.Name, s.at); err != nil {
		return err
	}
	s.kept, s.keptAt, s.progressed = s.at, s.Clock.Now(), true
	return nil
}

// keepWithin bounds how long the end of the process waits for the store.
const keepWithin = 5 * time.Second

// deliver sends records until the receiver has them or refuses them, however long that takes.
func (s *stream) deliver(ctx context.Context, records []archive.Record) error {
	refusals, pauses := 0, backoff()
	for ctx.Err() == nil {
		o, err := s.Sender.Send(ctx, records)
		if err == nil {
			s.delivered(records, o)
			return nil
		}
		if ctx.Err() != nil {
			break
		}
		fault := &endpoint.Fault{Because: endpoint.Refused, What: err.Error()}
		errors.As(err, &fault)
		s.metrics.failed(s.Name, fault.Because)
		if fault.Because == endpoint.Refused {
			if len(records) > 1 {
				half := len(records) / 2
				if err := s.deliver(ctx, records[:half]); err != nil {
					return err
				}
				return s.deliver(ctx, records[half:])
			}
			if refusals++; refusals == maxRefusals {
				s.delivered(records, Outcome{Refused: 1, Why: err.Error()})
				return nil
			}
		}
		s.log.Error(err, "a record is not sent yet, will be retried", "because", fault.Because,
			"record", name(records[0]))
		pause.For(ctx, s.Clock, max(fault.After, pauses.Step()))
	}
	return ctx.Err()
}

func (s *stream) delivered(records []archive.Record, o Outcome) {
	s.metrics.count(s.Name, sent, o.Sent)
	s.metrics.count(s.Name, refused, o.Refused)
	s.metrics.count(s.Name, filtered, len(records)-o.Sent-o.Refused)
	if o.Refused > 0 {
		s.log.Error(errors.New(o.Why), "the receiver refuses what is in records, they are left out",
			"refused", o.Refused, "of", len(records), "record", name(records[0]),
			"id", ID(records[0]))
	}
}
