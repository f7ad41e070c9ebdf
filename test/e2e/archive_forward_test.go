package e2e

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	"github.com/epitaph-k8s/epitaph/config"
	database "github.com/epitaph-k8s/epitaph/test/postgres"
)

// Records are written and amended while the archive is killed, again and again, and its receiver is
// away for a while: the receiver gets every record, in the end as it is, and of the right cluster.
func TestReceiverGetsEveryRecord(t *testing.T) {
	t.Parallel()
	db := database.ForTest(t)
	dir := t.TempDir()
	dsn := filepath.Join(dir, "dsn")
	if err := os.WriteFile(dsn, []byte(db.DSN()), 0o600); err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	newest := map[string]int64{} // the revision of each record that has arrived
	clusters, requests, away := map[string]bool{}, 0, false
	protocol, err := cloudevents.NewHTTP()
	if err != nil {
		t.Fatal(err)
	}
	sdk, err := cloudevents.NewHTTPReceiveHandler(t.Context(), protocol, func(e cloudevents.Event) {
		var o v1alpha1.PodObituary
		if err := json.Unmarshal(e.Data(), &o); err != nil {
			t.Errorf("the event %s: %v", e.ID(), err)
		}
		revision, err := archive.RevisionOf(o.ResourceVersion)
		if err != nil {
			t.Errorf("the event %s: %v", e.ID(), err)
		}
		mu.Lock()
		defer mu.Unlock()
		newest[string(o.UID)] = max(newest[string(o.UID)], revision)
		clusters[fmt.Sprint(e.Extensions()["cluster"])] = true
	})
	if err != nil {
		t.Fatal(err)
	}
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		requests++
		refuse := away || requests%7 == 0
		mu.Unlock()
		if refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		sdk.ServeHTTP(w, r)
	}))
	t.Cleanup(receiver.Close)
	if err := os.Mkdir(filepath.Join(dir, "siem"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"url": receiver.URL, "ca.crt": string(pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw}))} {
		if err := os.WriteFile(filepath.Join(dir, "siem", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	namespace := shared.namespace(t)
	a := shared.archiver(t, func(c *config.Archive) {
		c.DSNFile, c.ReceiversDir = dsn, dir
		c.Receivers = []config.Receiver{{Name: "siem", Format: config.CloudEvents, Kinds: []string{"Pod"},
			Namespaces: []string{namespace}}}
	})
	a.start(t)
	store, err := postgres.Open(t.Context(), db.DSN(), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	shared.eventually(t, "the receiver is known", func(ctx context.Context) (bool, error) {
		_, known, err := store.Reached(ctx, a.name, "siem")
		return known, err
	})
	// Another cluster writes into the same database meanwhile, under the same namespace.
	foreign := func(n int) error {
		return store.Put(t.Context(), archive.Batch{Cluster: "another", Kind: archive.PodKind,
			Records: []archive.Record{{Cluster: "another", Kind: archive.PodKind, UID: fmt.Sprint(n), Epoch: 1,
				Revision: 1, Removed: time.Now(), Namespace: namespace, Document: []byte("{}")}}})
	}

	api := shared.typed(t, shared.RESTConfig())
	want := map[string]int64{}
	const records, kills = 120, 4
	for n := range records {
		o := died(namespace, fmt.Sprintf("p-%d", n))
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if n%5 == 0 {
			before := o.DeepCopy()
			o.Spec.Code = "KernelPanic"
			if err := api.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
		}
		if want[string(o.UID)], err = archive.RevisionOf(o.ResourceVersion); err != nil {
			t.Fatal(err)
		}
		if err := foreign(n); err != nil {
			t.Fatal(err)
		}
		if n%(records/kills) == records/kills/2 {
			a.process.Kill()
			mu.Lock()
			away = !away
			mu.Unlock()
			a.start(t)
		}
	}
	shared.eventuallyWithin(t, 5*time.Minute, "the receiver has every record as it is",
		func(context.Context) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			for uid, revision := range want {
				if newest[uid] != revision {
					return false, nil
				}
			}
			return true, nil
		})
	mu.Lock()
	defer mu.Unlock()
	if len(newest) != records || len(clusters) != 1 || !clusters[a.name] {
		t.Errorf("the receiver has %d records of %v, want %d of %s", len(newest), clusters, records, a.name)
	}
}
