package metadata

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-k8s/epitaph/reason"
)

// The metadata server of Compute Engine (docs.cloud.google.com/compute/docs/metadata/overview,
// …/compute/docs/instances/create-use-preemptible, …/getting-live-migration-notice).
const (
	gcpRoot        = "/computeMetadata/v1/instance/"
	gcpPreempted   = "preempted"
	gcpMaintenance = "maintenance-event"
	gcpPreemptible = "scheduling/preemptible"

	// gcpHost is the name that the server goes by.
	gcpHost = "metadata.google.internal"
	// gcpWait is how long the server may keep a question open until something changes, in seconds;
	// gcpTimeout is a little longer.
	gcpWait    = "60"
	gcpTimeout = 70 * time.Second

	// gcpEnd is how long after its notice a preemption may come (it comes after 30 s), and gcpStop
	// the stop for maintenance, which is announced up to an hour ahead for machines with a GPU.
	gcpEnd  = 10 * time.Minute
	gcpStop = 90 * time.Minute
)

// gcp asks the metadata server of Compute Engine. It costs next to nothing: the server answers when
// a value changes.
type gcp struct {
	connection
	// seen are the values that were last answered, by key.
	seen map[string]gcpValue
}

type gcpValue struct{ text, etag string }

func (*gcp) name() string { return "Compute Engine" }

// notices returns as soon as a value has changed since the last call, or none has for a minute.
func (g *gcp) notices(ctx context.Context) ([]Notice, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var waiting sync.WaitGroup
	var failed []error
	news := map[string]gcpValue{}
	for _, key := range []string{gcpPreempted, gcpMaintenance} {
		before, known := g.seen[key]
		waiting.Go(func() {
			got, err := g.value(ctx, key, before.etag)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				news[key] = got
				if known && got.text != before.text {
					stop() // the other question can wait
				}
			case len(news) == 0 || ctx.Err() == nil:
				failed = append(failed, err)
			}
		})
	}
	waiting.Wait()
	if g.seen == nil {
		g.seen = map[string]gcpValue{}
	}
	for key, value := range news {
		g.seen[key] = value
	}
	notices, err := g.read(ctx)
	return notices, errors.Join(append(failed, err)...)
}

// value asks for a key. With the ETag of the last answer, the server waits for a change.
func (g *gcp) value(ctx context.Context, key, etag string) (gcpValue, error) {
	path, timeout := gcpRoot+key, askTimeout
	if etag != "" {
		path += "?" + url.Values{"wait_for_change": {"true"}, "timeout_sec": {gcpWait},
			"last_etag": {etag}}.Encode()
		timeout = gcpTimeout
	}
	got, err := g.get(ctx, timeout, path, map[string]string{"Metadata-Flavor": "Google"})
	switch {
	case err != nil:
		return gcpValue{}, err
	case got.status == http.StatusNotFound:
		return gcpValue{}, nil
	case got.header.Get("Metadata-Flavor") != "Google":
		return gcpValue{}, fmt.Errorf("%s is answered by somebody who is not Google's server", key)
	}
	return gcpValue{strings.TrimSpace(string(got.body)), got.header.Get("ETag")}, nil
}

// read says what the values mean. A machine that is preempted although it is no Spot VM is stopped
// for the maintenance of its host: so are TPUs.
func (g *gcp) read(ctx context.Context) ([]Notice, error) {
	var all []Notice
	var failed error
	if g.seen[gcpPreempted].text == "TRUE" {
		n := Notice{ID: gcpPreempted, What: reason.EvidenceSpot, Detail: "preempted", Lasts: gcpEnd}
		spot, err := g.value(context.WithoutCancel(ctx), gcpPreemptible, "")
		switch {
		case err != nil:
			failed = err
		case spot.text == "FALSE":
			n.What = reason.EvidenceMaintenance
			n.Detail = "preempted for maintenance, since it is no Spot VM"
		}
		all = append(all, n)
	}
	// MIGRATE_ON_HOST_MAINTENANCE moves the machine while it runs.
	if g.seen[gcpMaintenance].text == "TERMINATE_ON_HOST_MAINTENANCE" {
		all = append(all, Notice{ID: gcpMaintenance, What: reason.EvidenceMaintenance,
			Detail: "stopped for the maintenance of its host", Lasts: gcpStop})
	}
	return all, failed
}
