package page

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story/toll"
)

const (
	// maxRecords bounds the records that are kept. Where there are more, the oldest are left out:
	// a share of them at a time, so that not every new record has the oldest looked for.
	maxRecords   = 250_000
	shareLeftOut = 20
	// maxWaiting is how long a visit waits for the records to be read when we have just started.
	maxWaiting = 10 * time.Second
)

// A word is a text that many records have: it is held once.
type word = unique.Handle[string]

// A record is what the lists show of a pod's record, and search: a small part of it. It never
// changes.
type record struct {
	name, pod                                                 string
	removed                                                   int64 // in seconds since 1970
	namespace, node, nodeObituary, code, class, by, deletedBy word
	reason                                                    word
	owners                                                    []recordOwner
	// held is for how many seconds the pod held what it requests, or unknownHeld; gpus is how many
	// of these it requested.
	held, gpus int32
}

// unknownHeld stands for a time that the record does not say.
const unknownHeld = -1

type recordOwner struct{ apiVersion, kind, name, uid word }

func recordOf(o *v1alpha1.PodObituary) *record {
	s := &o.Spec
	r := &record{
		name: strings.Clone(o.Name), removed: s.Removed.Unix(), namespace: unique.Make(o.Namespace),
		node: unique.Make(s.NodeName), nodeObituary: unique.Make(s.NodeObituary),
		code: unique.Make(s.Code), class: unique.Make(s.Class), by: unique.Make(s.By),
		deletedBy: unique.Make(s.DeletedBy), reason: unique.Make(s.Reason),
	}
	counted := toll.PodOf(o)
	r.held, r.gpus = unknownHeld, int32(counted.GPUs)
	if counted.Known {
		r.held = int32(counted.Held / time.Second) // of at most ten years
	}
	// The name of a record begins with the pod's.
	if strings.HasPrefix(r.name, s.PodName) {
		r.pod = r.name[:len(s.PodName)]
	} else {
		r.pod = strings.Clone(s.PodName)
	}
	if len(s.Owners) > 0 {
		r.owners = make([]recordOwner, len(s.Owners))
	}
	for n, owner := range s.Owners {
		r.owners[n] = recordOwner{unique.Make(owner.APIVersion), unique.Make(owner.Kind),
			unique.Make(owner.Name), unique.Make(string(owner.UID))}
	}
	return r
}

// obituary returns the part of the pod's record that is kept.
func (r *record) obituary() v1alpha1.PodObituary {
	return v1alpha1.PodObituary{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace.Value(), Name: r.name},
		Spec: v1alpha1.PodObituarySpec{
			PodName: r.pod, NodeName: r.node.Value(), NodeObituary: r.nodeObituary.Value(),
			Code: r.code.Value(), Class: r.class.Value(), Reason: r.reason.Value(),
			By: r.by.Value(), DeletedBy: r.deletedBy.Value(), Removed: metav1.Unix(r.removed, 0),
			Owners: r.ownersOnRecord(),
		},
	}
}

func (r *record) ownersOnRecord() []v1alpha1.Owner {
	owners := make([]v1alpha1.Owner, len(r.owners))
	for n, o := range r.owners {
		owners[n] = o.owner()
	}
	return owners
}

func (o recordOwner) owner() v1alpha1.Owner {
	return v1alpha1.Owner{APIVersion: o.apiVersion.Value(), Kind: o.kind.Value(),
		Name: o.name.Value(), UID: types.UID(o.uid.Value())}
}

// counted is what is counted of the pod where its node took it down.
func (r *record) counted() toll.Pod {
	p := toll.Pod{Namespace: r.namespace.Value(), Name: r.pod, GPUs: int64(r.gpus),
		Known: r.held != unknownHeld, Held: time.Duration(r.held) * time.Second}
	if n := len(r.owners); n > 0 {
		p.OwnerKind, p.OwnerName = r.owners[n-1].kind.Value(), r.owners[n-1].name.Value()
	}
	return p
}

func (r *record) place() place {
	return place{time.Unix(r.removed, 0).UTC(), r.namespace.Value(), r.name}
}

// GetObjectMeta says whose record it is, as a store of client-go asks.
func (r *record) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: r.namespace.Value(), Name: r.name}
}

// Records keep a small part of each record of a pod in memory, for lists that are searched and have
// the newest first: the API server lists records by name, and whoever wants the newest of it has to
// read all of them.
type Records struct {
	source cache.ListerWatcher
	// max is maxRecords.
	max int
	// complete is closed when all records have been read once.
	complete chan struct{}
	once     sync.Once

	mu sync.RWMutex
	// kept are the records by namespace and name.
	kept  map[word]map[string]*record
	count int
	// leftOut is when the newest of those left out had left, 0 if there are none.
	leftOut int64
}

// NewRecords returns the records that a source lists and watches. Add them to the manager.
func NewRecords(source cache.ListerWatcher) *Records {
	return &Records{source: source, max: maxRecords, complete: make(chan struct{}),
		kept: map[word]map[string]*record{}}
}

// NeedLeaderElection is false: every replica serves the page.
func (*Records) NeedLeaderElection() bool { return false }

// Start keeps the records up to date until ctx ends.
func (r *Records) Start(ctx context.Context) error {
	cache.NewReflectorWithOptions(r.source, &v1alpha1.PodObituary{}, (*recordStore)(r),
		cache.ReflectorOptions{Name: "page"}).RunWithContext(ctx)
	return nil
}

// in returns the records of a namespace or, if none is named, of all. It does not ask who wants
// them: a guard does.
func (r *Records) in(ctx context.Context, namespace string) ([]*record, time.Time, error) {
	waiting, stop := context.WithTimeout(ctx, maxWaiting)
	defer stop()
	select {
	case <-r.complete:
	case <-waiting.Done():
		return nil, time.Time{}, errUnread
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	var since time.Time
	if r.leftOut != 0 {
		since = time.Unix(r.leftOut, 0).UTC()
	}
	if namespace != "" {
		of := r.kept[unique.Make(namespace)]
		found := make([]*record, 0, len(of))
		for _, o := range of {
			found = append(found, o)
		}
		return found, since, nil
	}
	found := make([]*record, 0, r.count)
	for _, of := range r.kept {
		for _, o := range of {
			found = append(found, o)
		}
	}
	return found, since, nil
}

// recordStore is what the reflector sees of Records.
type recordStore Records

// Transformer has a reflector hold nothing more of a record than is kept.
func (*recordStore) Transformer() cache.TransformFunc { return trimRecord }

// trimRecord returns the record that is kept of an obituary.
func trimRecord(o any) (any, error) {
	switch o := o.(type) {
	case *v1alpha1.PodObituary:
		return recordOf(o), nil
	case *record:
		return o, nil
	default:
		return nil, fmt.Errorf("%T is no record of a pod", o)
	}
}

// Add keeps a record.
func (s *recordStore) Add(o any) error {
	trimmed, err := trimRecord(o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(trimmed.(*record))
	return nil
}

// Update replaces a record.
func (s *recordStore) Update(o any) error { return s.Add(o) }

// Delete forgets a record.
func (s *recordStore) Delete(o any) error {
	trimmed, err := trimRecord(o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(trimmed.(*record))
	return nil
}

// Replace has these records be all that there are.
func (s *recordStore) Replace(all []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.count, s.leftOut = map[word]map[string]*record{}, 0, 0
	for _, o := range all {
		trimmed, err := trimRecord(o)
		if err != nil {
			return err
		}
		s.put(trimmed.(*record))
	}
	s.once.Do(func() { close(s.complete) })
	return nil
}

// Resync does nothing: there is nobody who would be told.
func (*recordStore) Resync() error { return nil }

// put keeps a record and, if there are too many, leaves the oldest out.
func (s *recordStore) put(r *record) {
	if s.leftOut != 0 && r.removed <= s.leftOut {
		s.drop(r) // an older state of it cannot be there, but a changed one can
		return
	}
	of := s.kept[r.namespace]
	if of == nil {
		of = map[string]*record{}
		s.kept[r.namespace] = of
	}
	if of[r.name] == nil {
		s.count++
	}
	of[r.name] = r
	if s.count > s.max {
		s.leaveOut()
	}
}

func (s *recordStore) drop(r *record) {
	of := s.kept[r.namespace]
	if of[r.name] == nil {
		return
	}
	delete(of, r.name)
	s.count--
	if len(of) == 0 {
		delete(s.kept, r.namespace)
	}
}

// leaveOut drops a share of the records, the oldest.
func (s *recordStore) leaveOut() {
	times := make([]int64, 0, s.count)
	for _, of := range s.kept {
		for _, r := range of {
			times = append(times, r.removed)
		}
	}
	slices.Sort(times)
	s.leftOut = times[s.count/shareLeftOut]
	for _, of := range s.kept {
		for _, r := range of {
			if r.removed <= s.leftOut {
				s.drop(r)
			}
		}
	}
}
