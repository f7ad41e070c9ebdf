package webhook

import (
	"bytes"
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
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Path is where the API server sends its reviews.
const Path = "/admit"

// maxBodyBytes bounds a review before it is read: etcd stores objects of up to 1.5 MiB, and a review holds one.
const maxBodyBytes = 3 << 20

// Options are what a handler works with.
type Options struct {
	Config config.Webhook
	// OwnNamespace is where Epitaph itself runs.
	OwnNamespace string
	Inferrer     reason.Inferrer
	// Reader reads from a cache of Pods (with the index [NodeNameField]), Nodes, Namespaces and PodDisruptionBudgets.
	Reader client.Reader
	// Live reads from the API server itself.
	Live       client.Reader
	Obituaries Obituaries
	Writer     Writer
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
		promises:     newPromises(o.Clock),
		created:      o.Config.CreatedReasons,
		failure:      o.Config.FailurePolicy,
		timeout:      o.Config.Timeout.Duration * 9 / 10,
		writeTimeout: o.Config.WriteTimeout.Duration,
		clock:        o.Clock,
		metrics:      m,
		log:          o.Log,
	}, nil
}

// ServeHTTP answers one review, also while the process shuts down: controller-runtime ends the contexts of its requests then
// (v0.25 pkg/internal/httpserver), and a delete that we have been asked about would fail for it. Each request has a time limit of its own.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r.WithContext(logr.NewContext(context.WithoutCancel(r.Context()), h.log)))
}

// Keeper returns the runnable that keeps what the handler promised to evicted pods.
func (h *Handler) Keeper(c cache.Cache) *Keeper {
	return &Keeper{handler: h, cache: c, log: h.log.WithName("keeper")}
}

// serve answers one review.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	review, status, err := readReview(w, r)
	if err != nil {
		h.metrics.malformed.Inc()
		logr.FromContextOrDiscard(r.Context()).Info("review refused", "status", status, "error", reason.Clean(err.Error()))
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
		logr.FromContextOrDiscard(r.Context()).Info("answer not delivered", "error", reason.Clean(err.Error()))
	}
}

// readReview reads the body of a request, and returns the HTTP status that belongs to what is wrong with it.
func readReview(w http.ResponseWriter, r *http.Request) (*admissionv1.AdmissionReview, int, error) {
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed, fmt.Errorf("method %.16q: reviews are sent by POST", r.Method)
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("the content type must be application/json")
	}
	body, err := readBody(w, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the review has more than %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, http.StatusBadRequest, fmt.Errorf("read the review: %w", err)
	}
	review := &admissionv1.AdmissionReview{}
	if err := json.Unmarshal(body, review); err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("the body is no AdmissionReview: %w", err)
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != admissionv1.SchemeGroupVersion.String() {
		return nil, http.StatusBadRequest, errors.New("the body must be an AdmissionReview of admission.k8s.io/v1")
	}
	if review.Request == nil || review.Request.UID == "" {
		return nil, http.StatusBadRequest, errors.New("the review has no request with a UID")
	}
	return review, http.StatusOK, nil
}

// usualBodyBytes hold most reviews. More is taken as it comes: a caller that announces much and sends nothing costs no more.
const usualBodyBytes = 64 << 10

// readBody reads at most maxBodyBytes.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), usualBodyBytes)+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	return body.Bytes(), err
}
