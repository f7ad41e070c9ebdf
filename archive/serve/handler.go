package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
)

const (
	// maxAtOnce bounds the requests that are answered at a time, and with it the memory for them.
	maxAtOnce = 8
	// answerWithin bounds how long the database may look.
	answerWithin = 20 * time.Second
	// maxAuthorizationBytes bounds a token before anybody is asked about it.
	maxAuthorizationBytes = 8 << 10
	// Fleet is the subresource of those who may read of all clusters.
	Fleet = "fleet"
)

var (
	errAnonymous = errors.New("no valid token, and no client certificate of this cluster")
	errForbidden = errors.New("you may not read these records")
	errClosed    = errors.New("the archive cannot be reached yet")
)

// An Authorizer asks the API server what a user may do.
type Authorizer interface {
	Allowed(context.Context, authenticationv1.UserInfo,
		authorizationv1.ResourceAttributes) (bool, error)
}

// Options are a handler's dependencies and configuration.
type Options struct {
	// Cluster is the one in which it runs: what is asked about if none is named.
	Cluster string
	// Store returns the archive, nil while it cannot be reached.
	Store      func() archive.Store
	Users      authenticator.Request
	Rights     Authorizer
	Registerer prometheus.Registerer
	Log        logr.Logger
}

type handler struct {
	Options
	seats   chan struct{}
	metrics *prometheus.CounterVec
}

// New returns what answers.
func New(o Options) (http.Handler, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	h := &handler{Options: o, seats: make(chan struct{}, maxAtOnce), metrics: m}
	mux := http.NewServeMux()
	for _, kind := range archive.Kinds() {
		mux.Handle("GET /v1/"+kind.Plural(), h.answering(kind, h.list))
		mux.Handle("GET /v1/counts/"+kind.Plural(), h.answering(kind, h.count))
	}
	mux.Handle("GET /v1/hours/"+archive.PodKind.Plural(), h.answering(archive.PodKind, h.hours))
	return mux, nil
}

// answering makes what answers a user's question a handler.
func (h *handler) answering(kind archive.Kind, answer func(context.Context,
	authenticationv1.UserInfo, archive.Kind, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		select {
		case h.seats <- struct{}{}:
			defer func() { <-h.seats }()
		default:
			w.Header().Set("Retry-After", "1")
			h.write(w, http.StatusServiceUnavailable, busy,
				archive.Refusal{Error: "too many ask at once"})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
		defer cancel()
		said, err := any(nil), errAnonymous
		if who, ok := h.user(r); ok {
			said, err = answer(ctx, who, kind, r)
		}
		if err != nil {
			h.refuse(w, err)
			return
		}
		h.write(w, http.StatusOK, answered, said)
	})
}

// user returns who asks.
func (h *handler) user(r *http.Request) (who authenticationv1.UserInfo, ok bool) {
	if len(r.Header.Get("Authorization")) > maxAuthorizationBytes {
		return who, false
	}
	response, ok, err := h.Users.AuthenticateRequest(r)
	if err != nil {
		h.Log.V(1).Info("a caller could not be authenticated", "error", err.Error())
	}
	if err != nil || !ok {
		return who, false
	}
	return infoOf(response.User), true
}

func infoOf(u user.Info) authenticationv1.UserInfo {
	who := authenticationv1.UserInfo{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(),
		Extra: map[string]authenticationv1.ExtraValue{}}
	for key, values := range u.GetExtra() {
		who.Extra[key] = values
	}
	return who
}

// refuse says as much as a caller may know. What went wrong with us is in the log.
func (h *handler) refuse(w http.ResponseWriter, err error) {
	status, outcome, said := http.StatusInternalServerError, failed, "the archive did not answer"
	switch {
	case errors.Is(err, errAnonymous):
		w.Header().Set("WWW-Authenticate", "Bearer")
		status, outcome, said = http.StatusUnauthorized, anonymous, err.Error()
	case errors.Is(err, errForbidden):
		status, outcome, said = http.StatusForbidden, forbidden, err.Error()
	case errors.Is(err, archive.ErrQuery):
		status, outcome, said = http.StatusBadRequest, wrong, err.Error()
	case errors.Is(err, errClosed):
		status, said = http.StatusServiceUnavailable, err.Error()
	default:
		h.Log.Error(err, "a question about the archive could not be answered")
	}
	h.write(w, status, outcome, archive.Refusal{Error: said})
}

func (h *handler) write(w http.ResponseWriter, status int, outcome string, said any) {
	h.metrics.WithLabelValues(outcome).Inc()
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(said); err != nil {
		h.Log.V(1).Info("a caller did not take the answer", "error", err.Error())
	}
}

// allow refuses a query to whom the cluster does not allow it.
func (h *handler) allow(ctx context.Context, who authenticationv1.UserInfo, q archive.Query) error {
	allowed, err := h.Rights.Allowed(ctx, who, h.right(q))
	if err == nil && !allowed {
		err = errForbidden
	}
	return err
}

// right is what a user must have for a query.
func (h *handler) right(q archive.Query) authorizationv1.ResourceAttributes {
	a := authorizationv1.ResourceAttributes{Verb: "list", Group: v1alpha1.GroupVersion.Group,
		Version: v1alpha1.GroupVersion.Version, Resource: resource(q.Kind)}
	switch {
	case q.Cluster != h.Cluster:
		// Who may read a namespace of this cluster may be anybody in another.
		a.Subresource = Fleet
	case q.Kind == archive.PodKind:
		a.Namespace = q.Namespace
	}
	return a
}

func resource(kind archive.Kind) string {
	return strings.ToLower(string(kind)) + "obituaries"
}

// permitted reads a query out of a request, which may have these parameters besides the filters,
// and returns it with the store to ask, if the user may.
func (h *handler) permitted(ctx context.Context, who authenticationv1.UserInfo, kind archive.Kind,
	r *http.Request, parameters ...string) (archive.Query, archive.Store, error) {
	q, err := queryOf(kind, h.Cluster, r.URL.Query(), parameters...)
	if err != nil {
		return q, nil, err
	}
	if err := h.allow(ctx, who, q); err != nil {
		return q, nil, err
	}
	store := h.Store()
	if store == nil {
		return q, nil, errClosed
	}
	return q, store, nil
}

func (h *handler) list(ctx context.Context, who authenticationv1.UserInfo, kind archive.Kind,
	r *http.Request) (any, error) {
	q, store, err := h.permitted(ctx, who, kind, r, archive.ParameterLimit, archive.ParameterCursor)
	if err != nil {
		return nil, err
	}
	page, err := store.List(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	said := archive.List{Items: make([]archive.Item, 0, len(page.Records)), Next: page.Next}
	for n := range page.Records {
		said.Items = append(said.Items, archive.Item{Cluster: page.Records[n].Cluster,
			Record: page.Records[n].Document})
	}
	return said, nil
}

func (h *handler) count(ctx context.Context, who authenticationv1.UserInfo, kind archive.Kind,
	r *http.Request) (any, error) {
	q, store, err := h.permitted(ctx, who, kind, r, archive.ParameterBy)
	if err != nil {
		return nil, err
	}
	counts, err := store.Count(ctx, q, fieldsOf(r))
	if err != nil {
		return nil, fmt.Errorf("count records: %w", err)
	}
	if counts == nil {
		counts = []archive.Count{}
	}
	return archive.Counts{Items: counts}, nil
}

func (h *handler) hours(ctx context.Context, who authenticationv1.UserInfo, kind archive.Kind,
	r *http.Request) (any, error) {
	q, store, err := h.permitted(ctx, who, kind, r, archive.ParameterBy)
	if err != nil {
		return nil, err
	}
	hours, err := store.Hours(ctx, q, fieldsOf(r))
	if err != nil {
		return nil, fmt.Errorf("sum hours: %w", err)
	}
	if hours == nil {
		hours = []archive.Hours{}
	}
	return archive.AllHours{Items: hours}, nil
}

// fieldsOf returns what a request asks to be counted by.
func fieldsOf(r *http.Request) (by []archive.Field) {
	names := r.URL.Query().Get(archive.ParameterBy)
	if names == "" {
		return nil
	}
	for name := range strings.SplitSeq(names, ",") {
		by = append(by, archive.Field(name))
	}
	return by
}
