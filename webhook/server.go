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
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/httpsserver"
	"github.com/epitaph-k8s/epitaph/internal/access"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// Path is where the API server sends its reviews.
	Path = "/admit"
	// ConfigurationName is the name of the webhook configuration that the chart makes.
	ConfigurationName = "epitaph"
)

// Self returns the user of Epitaph's manager, as the chart sets it up.
func Self(namespace string) string {
	return "system:serviceaccount:" + namespace + ":epitaph-manager"
}

const (
	// maxBodyBytes bounds a review before it is read: etcd stores objects of up to 1.5 MiB, and a
	// review holds one.
	maxBodyBytes = 3 << 20
	// maxBodiesBytes bounds all reviews that are in progress at once. Decoded, they take some three
	// times as much.
	maxBodiesBytes = 32 << 20
)

// Options are the settings and collaborators of a handler.
type Options struct {
	Config config.Webhook
	// OwnNamespace is the namespace of Epitaph itself.
	OwnNamespace string
	Inferrer     reason.Inferrer
	// Reader reads from a cache of Pods (with the index [reason.NodeNameField]), Nodes, Namespaces
	// and PodDisruptionBudgets.
	Reader client.Reader
	// Live reads from the API server itself.
	Live client.Reader
	// Mapper finds the kinds of objects that decide about pods; Reviews and Served, whose
	// controllers are whose. Without them nothing is known of either.
	Mapper     meta.RESTMapper
	Reviews    access.Reviewer
	Served     Served
	Obituaries Obituaries
	// Owners records who deleted the owners of pods; nil records nothing.
	Owners *audit.OwnerEnds
	Writer Writer
	// Refusals keeps for the record what was decided about evictions; nil keeps nothing.
	Refusals   *audit.Refusals
	Clock      clock.PassiveClock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// New returns the handler to serve at [Path]. The error says which rule is broken, and where.
func New(o Options) (*Handler, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	h := &Handler{
		reader:       o.Reader,
		live:         o.Live,
		objects:      newObjects(o),
		obituaries:   o.Obituaries,
		owners:       o.Owners,
		writer:       o.Writer,
		inferrer:     o.Inferrer,
		promises:     newPromises(o.Clock),
		pace:         newPace(o.Clock),
		refusals:     o.Refusals,
		bodies:       &httpsserver.Bodies{MaxBytes: maxBodyBytes, TotalBytes: maxBodiesBytes},
		created:      o.Config.CreatedReasons,
		failure:      o.Config.FailurePolicy,
		ownNamespace: o.OwnNamespace,
		self:         Self(o.OwnNamespace),
		timeout:      o.Config.Timeout.Duration * 9 / 10,
		writeTimeout: o.Config.WriteTimeout.Duration,
		clock:        o.Clock,
		metrics:      m,
		log:          o.Log,
		denials: flowcontrol.NewTokenBucketPassiveRateLimiter(denialsPerSecond,
			denialsAtOnce),
	}
	if err := h.SetPolicy(o.Config); err != nil {
		return nil, err
	}
	// Fail promises that nothing leaves without a reason, whatever happens to us.
	h.writesFirst.Store(o.Config.FailurePolicy == config.FailClosed || o.Config.WriteFirst)
	return h, nil
}

// ServeHTTP answers one review, even while the process shuts down or after the caller has hung up:
// whatever was begun for a delete is completed. Each request has its own time limit.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(context.WithoutCancel(r.Context()), w, r)
}

// PromisedReasons returns the reconciler that writes the reasons that the handler has promised.
func (h *Handler) PromisedReasons() *PromisedReasons { return &PromisedReasons{handler: h} }

// serve answers one review.
func (h *Handler) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	review, release, status, err := h.readReview(w, r)
	defer release()
	if err != nil {
		h.metrics.malformed.Inc()
		h.log.V(1).Info("review refused", "status", status, "error",
			reason.Clean(err.Error()))
		http.Error(w, err.Error(), status)
		return
	}
	defer h.pace.review()()
	response, err := h.answer(ctx, review.Request)
	if err != nil {
		http.Error(w, string(reason.Clean(err.Error())), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		h.log.Info("answer not delivered", "error", reason.Clean(err.Error()))
	}
}

// readReview reads the body of a request; if that fails, it returns the HTTP status to answer with.
// The caller releases the body after the answer.
func (h *Handler) readReview(w http.ResponseWriter,
	r *http.Request) (*admissionv1.AdmissionReview, func(), int, error) {
	if r.Method != http.MethodPost {
		return nil, func() {}, http.StatusMethodNotAllowed,
			fmt.Errorf("method %.16q: reviews are sent by POST", r.Method)
	}
	if !isJSON(r.Header.Get("Content-Type")) {
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

// isJSON reports whether a Content-Type is JSON's, whatever its parameters.
func isJSON(contentType string) bool {
	const json = "application/json"
	if contentType == json {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == json
}
