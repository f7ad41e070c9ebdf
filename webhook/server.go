package webhook

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/encoding/json"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/httpsserver"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// Path is where the API server sends its reviews.
	Path = "/admit"
	// ConfigurationName is the name of the webhook configuration that the chart makes.
	ConfigurationName = "epitaph"
)

// Self is the user that Epitaph's manager is, as the chart has it.
func Self(
	namespace string) string {
	return "system:serviceaccount:" + namespace + ":epitaph-manager"
}

const (
	// maxBodyBytes bounds a review before it is read: etcd stores objects of up to 1.5 MiB, and a
	// review holds one.
	maxBodyBytes = 3 << 20
	// maxBodiesBytes bounds all reviews that are worked on at once. What is decoded takes some
	// three times as much.
	maxBodiesBytes = 32 << 20
)

// Options are what a handler works with.
type Options struct {
	Config config.Webhook
	// OwnNamespace is where Epitaph itself runs.
	OwnNamespace string
	Inferrer     reason.Inferrer
	// Reader reads from a cache of Pods (with the index [reason.NodeNameField]), Nodes, Namespaces
	// and PodDisruptionBudgets.
	Reader client.Reader
	// Live reads from the API server itself.
	Live       client.Reader
	Obituaries Obituaries
	Writer     Writer
	// Refusals has for the record what was decided about evictions; nil has nothing.
	Refusals   *audit.Refusals
	Clock      clock.PassiveClock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// New returns the handler to serve at [Path]. The error says which rule is broken, and where.
func New(o Options) (*Handler, error) {
	rules, err := newPolicy(o.Config, o.OwnNamespace)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Handler{
		reader:       o.Reader,
		live:         o.Live,
		obituaries:   o.Obituaries,
		writer:       o.Writer,
		inferrer:     o.Inferrer,
		policy:       rules,
		pending:      newPendingEvictions(o.Clock),
		refusals:     o.Refusals,
		bodies:       &httpsserver.Bodies{MaxBytes: maxBodyBytes, TotalBytes: maxBodiesBytes},
		created:      o.Config.CreatedReasons,
		failure:      o.Config.FailurePolicy,
		self:         Self(o.OwnNamespace),
		timeout:      o.Config.Timeout.Duration * 9 / 10,
		writeTimeout: o.Config.WriteTimeout.Duration,
		clock:        o.Clock,
		metrics:      m,
		log:          o.Log,
	}, nil
}

// ServeHTTP answers one review, also while the process shuts down and where the caller has hung up:
// what was begun for a delete is ended. Each request has a time limit of its own.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r.WithContext(logr.NewContext(context.WithoutCancel(r.Context()), h.log)))
}

// EvictionReasons returns the reconciler that writes what the handler found for evicted pods.
func (h *Handler) EvictionReasons() *EvictionReasons { return &EvictionReasons{handler: h} }

// serve answers one review.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	review, release, status, err := h.readReview(w, r)
	defer release()
	if err != nil {
		h.metrics.malformed.Inc()
		logr.FromContextOrDiscard(r.Context()).V(1).Info("review refused", "status", status,
			"error", reason.Clean(err.Error()))
		http.Error(w, err.Error(), status)
		return
	}
	response, err := h.answer(r.Context(), review.Request)
	if err != nil {
		http.Error(w, string(reason.Clean(err.Error())), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		logr.FromContextOrDiscard(r.Context()).Info("answer not delivered", "error",
			reason.Clean(err.Error()))
	}
}

// readReview reads the body of a request, and returns the HTTP status that belongs to what is wrong
// with it. The caller releases the body when it has answered.
func (h *Handler) readReview(w http.ResponseWriter,
	r *http.Request) (*admissionv1.AdmissionReview, func(), int, error) {
	if r.Method != http.MethodPost {
		return nil, func() {}, http.StatusMethodNotAllowed,
			fmt.Errorf("method %.16q: reviews are sent by POST", r.Method)
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		media != "application/json" {
		return nil, func() {}, http.StatusUnsupportedMediaType,
			errors.New("the content type must be application/json")
	}
	body, release, err := h.bodies.Read(w, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, release, http.StatusRequestEntityTooLarge,
			fmt.Errorf("the review has more than %d bytes", tooLarge.Limit)
	case errors.Is(err, httpsserver.ErrFull):
		return nil, release, http.StatusServiceUnavailable, err
	case err != nil:
		return nil, release, http.StatusBadRequest, fmt.Errorf("read the review: %w", err)
	}
	review, err := decodeReview(body)
	if err != nil {
		return nil, release, http.StatusBadRequest, err
	}
	return review, release, http.StatusOK, nil
}
