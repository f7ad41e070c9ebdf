package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
)

// A Kind is what a record is of.
type Kind string

// The kinds.
const (
	PodKind   Kind = "Pod"
	NodeKind  Kind = "Node"
	OwnerKind Kind = "Owner"
)

// Kinds are all kinds.
func Kinds() []Kind { return []Kind{PodKind, NodeKind, OwnerKind} }

// KindOf returns what an obituary is of; "" if it is none.
func KindOf(o client.Object) Kind {
	switch o.(type) {
	case *v1alpha1.PodObituary:
		return PodKind
	case *v1alpha1.NodeObituary:
		return NodeKind
	case *v1alpha1.OwnerObituary:
		return OwnerKind
	}
	return ""
}

// A Record is a revision of what is recorded about one end.
type Record struct {
	Cluster string
	Kind    Kind
	// UID names the record within its cluster: see [UIDOf].
	UID string
	// Epoch and Revision order the revisions of a record.
	Epoch, Revision int64
	// Gone is set if this was told by the end of the record in the cluster: it is stored only if
	// nothing of the record is.
	Gone bool

	// Removed is when the subject left, in microseconds of UTC.
	Removed time.Time
	// Namespace is that of the pod or the owner.
	Namespace string
	// Record is the record's own name; Name is that of the pod, the node or the owner.
	Record, Name      string
	Subject           string
	Node, Code, Class string
	// Owners are the names of what the pod belonged to.
	Owners []string
	Labels map[string]string
	// Fingerprint is that of the panic of a node's kernel: v1alpha1.PanicTrace.
	Fingerprint string
	// Held is how long a pod held what it requests, and GPUSeconds that in seconds for each of its
	// GPUs; nil if the record does not say.
	Held       *time.Duration
	GPUSeconds int64
	// Document is the record as JSON.
	Document []byte
}

// UIDOf returns the UID by which a record is stored: that of the object. The record of an owner is
// renewed for the next owner of its name and for what is done to it next: each has one of its own.
func UIDOf(o client.Object) string {
	if owner, ok := o.(*v1alpha1.OwnerObituary); ok {
		return string(o.GetUID()) + "/" + string(owner.Spec.UID) + "/" +
			strconv.FormatInt(owner.Spec.Generation, 10)
	}
	return string(o.GetUID())
}

// Of returns the record of an obituary, as it is stored.
func Of(cluster string, epoch int64, o client.Object) (Record, error) {
	revision, err := RevisionOf(o.GetResourceVersion())
	if err != nil {
		return Record{}, err
	}
	r := Record{Cluster: cluster, Kind: KindOf(o), UID: UIDOf(o), Epoch: epoch, Revision: revision,
		Namespace: o.GetNamespace(), Record: o.GetName(), Labels: o.GetLabels()}
	var removed metav1.Time
	switch o := o.(type) {
	case *v1alpha1.PodObituary:
		s := &o.Spec
		removed, r.Name, r.Subject = s.Removed, s.PodName, string(s.PodUID)
		r.Node, r.Code, r.Class = s.NodeName, s.Code, s.Class
		for _, owner := range s.Owners {
			r.Owners = append(r.Owners, owner.Name)
		}
		if held, known := obituary.Held(s); known {
			r.Held, r.GPUSeconds = &held, int64(held.Seconds())*obituary.GPUs(s)
		}
		r.Document, err = document(&v1alpha1.PodObituary{TypeMeta: typeOf("PodObituary"),
			ObjectMeta: withoutManagers(o.ObjectMeta), Spec: o.Spec})
	case *v1alpha1.NodeObituary:
		s := &o.Spec
		removed, r.Name, r.Subject = s.Removed, s.NodeName, string(s.NodeUID)
		r.Node, r.Code, r.Class = s.NodeName, s.Code, s.Class
		r.Fingerprint = fingerprint(s)
		r.Document, err = document(&v1alpha1.NodeObituary{TypeMeta: typeOf("NodeObituary"),
			ObjectMeta: withoutManagers(o.ObjectMeta), Spec: o.Spec, Status: o.Status})
	case *v1alpha1.OwnerObituary:
		s := &o.Spec
		removed, r.Name, r.Subject = s.Removed, s.Name, string(s.UID)
		r.Namespace = s.Namespace
		r.Document, err = document(&v1alpha1.OwnerObituary{TypeMeta: typeOf("OwnerObituary"),
			ObjectMeta: withoutManagers(o.ObjectMeta), Spec: o.Spec})
	default:
		return Record{}, fmt.Errorf("nothing is archived of %T", o)
	}
	r.Removed = removed.Time
	return r, err
}

func fingerprint(s *v1alpha1.NodeObituarySpec) string {
	if trace := obituary.PanicOf(s); trace != nil {
		return trace.Fingerprint
	}
	return ""
}

// FingerprintOf returns the fingerprint of a node's record that was stored before fingerprints
// were; empty if it has none.
func FingerprintOf(document []byte) string {
	var o v1alpha1.NodeObituary
	if err := json.Unmarshal(document, &o); err != nil {
		return "" // not a record of ours
	}
	return column(fingerprint(&o.Spec))
}

// RevisionOf reads a resource version as a number (KEP-5504: they can be compared).
func RevisionOf(version string) (int64, error) {
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resource version %q: %w", version, err)
	}
	return n, nil
}

func typeOf(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind}
}

func withoutManagers(m metav1.ObjectMeta) metav1.ObjectMeta {
	m.ManagedFields = nil
	return m
}

func document(o any) ([]byte, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode a record: %w", err)
	}
	return text, nil
}

const (
	// maxColumnBytes bounds what is indexed: PostgreSQL refuses index entries of more than 2,704
	// bytes. No name in Kubernetes is longer than 317.
	maxColumnBytes = 512
	// maxTerms bounds the labels and owners by which one record is found.
	maxTerms = 64
	// skew is how far the clock that wrote a record may be ahead of ours.
	skew = 24 * time.Hour
)

// earliest is before Kubernetes 1.0: what left earlier has a wrong time.
var earliest = time.Date(2015, time.January, 1, 0, 0, 0, 0, time.UTC)

// Seconds returns how long the record's pod held what it requests, for a column; nil if that is not
// known.
func (r Record) Seconds() any {
	if r.Held == nil {
		return nil
	}
	return int64(r.Held.Seconds())
}

// Storable returns the batch's records as every store can hold them, one of each UID, and checks
// that they are the batch's. Text has neither NUL nor invalid UTF-8, which PostgreSQL refuses; what
// is indexed has a bound. A time that cannot be is replaced by the nearest that can: a wrong clock
// must not sort a record where nobody looks, or create months without number. The document keeps
// what was written.
func (b Batch) Storable(now time.Time) ([]Record, error) {
	newest := make(map[string]int, len(b.Records))
	var all []Record
	for _, r := range b.Records {
		if r.Cluster != b.Cluster || r.Kind != b.Kind || r.UID == "" || !json.Valid(r.Document) {
			return nil, fmt.Errorf("%w: a %s of cluster %q with UID %q is none of this batch",
				ErrRefused, r.Kind, r.Cluster, r.UID)
		}
		r = r.clean(now)
		n, ok := newest[r.UID]
		switch {
		case !ok:
			newest[r.UID] = len(all)
			all = append(all, r)
		case !r.Gone && !r.before(all[n]) || all[n].Gone:
			all[n] = r
		}
	}
	return all, nil
}

func (r Record) before(other Record) bool {
	return r.Epoch < other.Epoch || r.Epoch == other.Epoch && r.Revision < other.Revision
}

func (r Record) clean(now time.Time) Record {
	r.Removed = r.Removed.UTC().Truncate(time.Microsecond)
	if latest := now.UTC().Truncate(time.Microsecond); r.Removed.After(latest.Add(skew)) {
		r.Removed = latest
	}
	if r.Removed.Before(earliest) {
		r.Removed = earliest
	}
	for _, text := range []*string{&r.UID, &r.Namespace, &r.Record, &r.Name, &r.Subject, &r.Node,
		&r.Code, &r.Class, &r.Fingerprint} {
		*text = column(*text)
	}
	r.Document = withoutNUL(r.Document)
	return r
}

// column makes a text one that can be indexed.
func column(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	for len(s) > maxColumnBytes {
		s = s[:maxColumnBytes]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return s
}

// withoutNUL replaces the escape of NUL in valid JSON, and invalid UTF-8.
func withoutNUL(text []byte) []byte {
	text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	if !bytes.Contains(text, []byte(`\u0000`)) {
		return text
	}
	clean := make([]byte, 0, len(text))
	for n := 0; n < len(text); n++ {
		switch {
		case text[n] != '\\':
			clean = append(clean, text[n])
		case bytes.HasPrefix(text[n:], []byte(`\u0000`)):
			clean = append(clean, `\ufffd`...)
			n += len(`\u0000`) - 1
		default: // an escape of another character, which may be the backslash
			clean = append(clean, text[n], text[n+1])
			n++
		}
	}
	return clean
}

// The terms by which a record is found besides its columns.

// OwnerTerm is the term of an owner's name.
func OwnerTerm(name string) string { return column("o:" + name) }

// SubjectTerm is the term of the subject's UID.
func SubjectTerm(uid string) string { return column("u:" + uid) }

// RecordTerm is the term of the record's own name.
func RecordTerm(name string) string { return column("r:" + name) }

// LabelTerm is the term of a label with a value.
func LabelTerm(key, value string) string { return column("l:" + key + "=" + value) }

// LabelKeyTerm is the term of a label with any value.
func LabelKeyTerm(key string) string { return column("k:" + key) }

// Terms are the record's terms, sorted, each once.
func (r Record) Terms() []string {
	all := []string{RecordTerm(r.Record)}
	if r.Subject != "" {
		all = append(all, SubjectTerm(r.Subject))
	}
	for _, name := range r.Owners[:min(len(r.Owners), maxTerms)] {
		all = append(all, OwnerTerm(name))
	}
	keys := make([]string, 0, len(r.Labels))
	for key := range r.Labels {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys[:min(len(keys), maxTerms)] {
		all = append(all, LabelTerm(key, r.Labels[key]), LabelKeyTerm(key))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Month returns the beginning of a time's month, in UTC.
func Month(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
