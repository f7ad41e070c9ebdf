package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

const (
	// archivePatience bounds one question to the archive.
	archivePatience = 30 * time.Second
	// maxArchived bounds the records of the archive that one command reads.
	maxArchived = 10000
)

var errImpersonating = errors.New(
	"the archive does not know --as: it answers those who they really are")

// An archived is the archive of the cluster, if it has one.
type archived struct {
	looked bool
	client *ask.Client
}

// find looks for the archive once. Without one, or if it may not be known, there is nothing to ask.
func (c *Cluster) find(ctx context.Context) error {
	if c.archive.looked {
		return nil
	}
	c.archive.looked = true
	said := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: metav1.NamespacePublic, Name: ask.ObjectName}
	err := c.Get(ctx, key, said)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the archive: %w", err)
	}
	at, err := ask.PlaceOf(said.Data)
	if err != nil {
		return err
	}
	if c.Config.Impersonate.UserName != "" {
		return errImpersonating
	}
	// The same user, at another server.
	config := rest.CopyConfig(c.Config)
	config.Host, config.APIPath, config.Timeout = at.URL.String(), "", archivePatience
	config.Username, config.Password = "", ""
	config.Insecure, config.ServerName, config.CAFile = false, "", ""
	config.CAData = at.CA
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("make a client of the archive: %w", err)
	}
	client.CheckRedirect = ask.NoRedirect
	c.archive.client = &ask.Client{URL: at.URL, HTTP: client}
	return nil
}

// ask asks the archive. Without one, found is false.
func (c *Cluster) ask(ctx context.Context, kind archive.Kind, q url.Values,
	record func(document []byte) error) (found bool, err error) {
	if err := c.find(ctx); err != nil || c.archive.client == nil {
		return false, err
	}
	return true, c.archive.client.All(ctx, kind, q, maxArchived, func(item archive.Item) error {
		return record(item.Record)
	})
}

// questionOf is a filter as the archive has it.
func (c *Cluster) questionOf(f lookup.Filter) url.Values {
	q := url.Values{}
	for name, value := range map[string]string{archive.ParameterCluster: c.Elsewhere,
		archive.ParameterNamespace: f.Namespace, archive.ParameterName: f.Pod,
		archive.ParameterNode: f.Node, archive.ParameterCode: f.Code,
		archive.ParameterClass: f.Class} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Labels != nil && !f.Labels.Empty() {
		q.Set(archive.ParameterSelector, f.Labels.String())
	}
	if !f.Since.IsZero() {
		q.Set(archive.ParameterSince, f.Since.UTC().Format(time.RFC3339))
	}
	if f.Max > 0 {
		q.Set(archive.ParameterLimit, strconv.Itoa(f.Max))
	}
	return q
}

// reaches reports whether the archive is to be asked besides: the caller asks for a time, which may
// be longer ago than what the cluster keeps, or for something of one name that the cluster does not
// have.
func reaches(f lookup.Filter, found int) bool {
	return !f.Since.IsZero() || found == 0 && (f.Pod != "" || f.Node != "")
}

// Pods returns the records of pods that match, the newest last: those of the cluster and, where
// that may not be all, those of the archive.
func (c *Cluster) Pods(ctx context.Context, want lookup.Filter) (found []v1alpha1.PodObituary,
	more bool, err error) {
	if c.Elsewhere == "" {
		found, more, err = c.Finder.Pods(ctx, want)
		if err != nil || more || !reaches(want, len(found)) {
			return found, more, err
		}
	}
	found, err = besides(ctx, c, archive.PodKind, c.questionOf(want), found,
		func(o *v1alpha1.PodObituary) (types.UID, time.Time) { return o.UID, o.Spec.Removed.Time })
	return found, false, err
}

// Nodes returns the records of nodes that match, the newest last, as Pods does.
func (c *Cluster) Nodes(ctx context.Context,
	want lookup.Filter) (found []v1alpha1.NodeObituary, err error) {
	if c.Elsewhere == "" {
		found, err = c.Finder.Nodes(ctx, want)
		if err != nil || !reaches(want, len(found)) {
			return found, err
		}
	}
	return besides(ctx, c, archive.NodeKind, c.questionOf(want), found,
		func(o *v1alpha1.NodeObituary) (types.UID, time.Time) { return o.UID, o.Spec.Removed.Time })
}

// besides adds what the archive has. If it cannot be asked, there is still what the cluster has.
func besides[T any](ctx context.Context, c *Cluster, kind archive.Kind, q url.Values, found []T,
	key func(*T) (types.UID, time.Time)) ([]T, error) {
	there := map[types.UID]bool{}
	for n := range found {
		uid, _ := key(&found[n])
		there[uid] = true
	}
	asked, err := c.ask(ctx, kind, q, func(document []byte) error {
		var o T
		if err := json.Unmarshal(document, &o); err != nil {
			return err
		}
		if uid, _ := key(&o); !there[uid] {
			there[uid] = true
			found = append(found, o)
		}
		return nil
	})
	switch {
	case c.Elsewhere != "" && err == nil && !asked:
		return nil, errors.New("this cluster has no archive that knows other clusters")
	case c.Elsewhere != "":
		if err != nil {
			return nil, err
		}
	case err != nil:
		c.note("The archive could not be asked, so this is what the cluster still has: " +
			err.Error())
	}
	slices.SortStableFunc(found, func(a, b T) int {
		_, first := key(&a)
		_, second := key(&b)
		return first.Compare(second)
	})
	return found, nil
}

// note says something once.
func (c *Cluster) note(what string) {
	if c.Note != nil && !c.noted {
		c.noted = true
		c.Note(what)
	}
}

// Get reads an object; the record of a node, if the cluster no longer has it, from the archive.
func (r withArchive) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	options ...client.GetOption) error {
	err := r.Reader.Get(ctx, key, o, options...)
	node, ok := o.(*v1alpha1.NodeObituary)
	if !ok || !apierrors.IsNotFound(err) {
		return err
	}
	q := url.Values{archive.ParameterRecord: {key.Name}, archive.ParameterLimit: {"1"}}
	if r.c.Elsewhere != "" {
		q.Set(archive.ParameterCluster, r.c.Elsewhere)
	}
	there := false
	if _, failed := r.c.ask(ctx, archive.NodeKind, q, func(document []byte) error {
		there = true
		return json.Unmarshal(document, node)
	}); failed != nil || !there {
		return err // what is not there is left out of a story
	}
	return nil
}

// withArchive reads the records of nodes from the archive that the cluster no longer has.
type withArchive struct {
	client.Reader
	c *Cluster
}

// past returns what the archive has of the pods of an owner of which the cluster has nothing, and
// what was done to it.
func (c *Cluster) past(ctx context.Context, o lookup.Owner) (pods []v1alpha1.PodObituary,
	ends []v1alpha1.OwnerObituary, err error) {
	of := func(parameter string) url.Values {
		return url.Values{archive.ParameterNamespace: {o.Namespace}, parameter: {o.Name}}
	}
	pods, err = besides(ctx, c, archive.PodKind, of(archive.ParameterOwner), pods,
		func(o *v1alpha1.PodObituary) (types.UID, time.Time) { return o.UID, o.Spec.Removed.Time })
	if err != nil {
		return nil, nil, err
	}
	_, err = c.ask(ctx, archive.OwnerKind, of(archive.ParameterName), func(document []byte) error {
		var end v1alpha1.OwnerObituary
		err := json.Unmarshal(document, &end)
		ends = append(ends, end)
		return err
	})
	if err != nil {
		return pods, nil, nil // without the right to read that, the pods' records may still say it
	}
	return pods, ends, nil
}

// ErrNoArchive says that nobody keeps what has left the cluster, or that one may not know who.
var ErrNoArchive = errors.New("this cluster has no archive that answers (docs/archive.md)")

// Counts counts the records of the archive that match, by some of their fields.
func (c *Cluster) Counts(ctx context.Context, kind archive.Kind, want lookup.Filter,
	by []string) ([]archive.Count, error) {
	if err := c.find(ctx); err != nil {
		return nil, err
	}
	if c.archive.client == nil {
		return nil, ErrNoArchive
	}
	q := c.questionOf(want)
	q.Set(archive.ParameterBy, strings.Join(by, ","))
	return c.archive.client.Counts(ctx, kind, q)
}

// Hours sums for how long the pods of the archive that match were there, by some fields or none.
func (c *Cluster) Hours(ctx context.Context, want lookup.Filter,
	by []string) ([]archive.Hours, error) {
	if err := c.find(ctx); err != nil {
		return nil, err
	}
	if c.archive.client == nil {
		return nil, ErrNoArchive
	}
	q := c.questionOf(want)
	if len(by) > 0 {
		q.Set(archive.ParameterBy, strings.Join(by, ","))
	}
	return c.archive.client.Hours(ctx, q)
}
