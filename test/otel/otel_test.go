// Package otel shows what OpenTelemetry's own collector makes of the archive's logs.
package otel

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
	"github.com/epitaph-k8s/epitaph/archive/forward/otlplog"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// settings has the collector print all of what it receives.
const settings = `
receivers:
  otlp: {protocols: {http: {endpoint: "%[1]s", tls: {cert_file: "%[2]s/tls.crt", key_file: "%[2]s/tls.key"}}}}
exporters:
  debug: {verbosity: detailed, use_internal_logger: false}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {logs: {receivers: [otlp], exporters: [debug]}}
`

// A collector is a process, of which all that it prints is in a file.
type collector struct{ dir, printed string }

// start starts a collector, and leaves in a folder what a receiver's Secret holds.
func start(t *testing.T) collector {
	t.Helper()
	paths, err := binaries.Ensure(t.Context(), t.Output(), binaries.OTelCollector)
	if err != nil {
		t.Fatal(err)
	}
	address, err := sandbox.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := collector{dir: t.TempDir()}
	c.printed = filepath.Join(c.dir, "printed")
	for name, text := range map[string]string{"tls.crt": string(certificate), "tls.key": string(key),
		"ca.crt": string(certificate), "url": "https://" + address + "/v1/logs",
		"collector.yaml": fmt.Sprintf(settings, address, c.dir)} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(c.printed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	cmd := exec.CommandContext(t.Context(), paths["collector"], "--config", "file:"+filepath.Join(c.dir, "collector.yaml"))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the test's context has ended it
	return c
}

// read returns what was printed, once it has something in it.
func (c collector) read(t *testing.T, something string) (text string) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true,
		func(context.Context) (bool, error) {
			all, err := os.ReadFile(c.printed)
			text = string(all)
			return strings.Contains(text, something), err
		})
	if err != nil {
		t.Fatalf("the collector has not printed %q: %v\n%s", something, err, text)
	}
	return text
}

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println(
			"otel: skipped by -short: it needs OpenTelemetry's collector; run make test-controlplane")
		return
	}
	os.Exit(m.Run())
}

func TestCollectorUnderstands(t *testing.T) {
	c := start(t)
	store, err := sqlite.Open(t.Context(), filepath.Join(c.dir, "archive.db"), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	left := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	record := archive.Record{Cluster: "prod-eu-1", Kind: archive.PodKind, UID: "r1", Epoch: 1, Revision: 7,
		Removed: left, Namespace: "batch", Name: "train-7", Node: "gpu-17", Code: "KernelPanic",
		Class: "disruption", Document: []byte(`{"metadata": {"generation": 1}, "spec": {"podUID": "u1",` +
			` "by": "kernel", "reason": "the \"kernel\" panicked: 死"}}`)}
	if err := store.Put(t.Context(), archive.Batch{Cluster: record.Cluster, Kind: record.Kind,
		Records: []archive.Record{record}}); err != nil {
		t.Fatal(err)
	}
	f, err := forward.New(forward.Options{Cluster: record.Cluster, Feed: store, Clock: clock.RealClock{},
		Registerer: prometheus.NewRegistry(), Log: logr.Discard(),
		Receivers: []forward.Receiver{{Name: "collector", Filter: forward.Filter{Since: left},
			Sender: otlplog.Sender{Clock: clock.RealClock{}, Endpoint: &endpoint.Endpoint{Dir: c.dir,
				Timeout: 10 * time.Second, Clock: clock.RealClock{}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Start(ctx) }()
	text := c.read(t, "epitaph.record")
	// It is confirmed: the place of the receiver is stored, and nothing is sent again.
	err = wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) {
			at, _, err := store.Reached(ctx, record.Cluster, "collector")
			return at.Number > 0, err
		})
	stop()
	if err != nil || <-ended != nil {
		t.Errorf("the collector's confirmation: %v", err)
	}
	if got := strings.Count(text, "LogRecord #"); got != 1 {
		t.Errorf("the collector has %d logs", got)
	}

	resource, log, _ := strings.Cut(text, "ScopeLogs #0")
	if diff := cmp.Diff(map[string]string{"service.name": "epitaph", "k8s.cluster.name": "prod-eu-1"},
		attributes(resource)); diff != "" {
		t.Errorf("the resource (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"log.record.uid": "prod-eu-1/r1/1-7", "k8s.namespace.name": "batch",
		"k8s.pod.name": "train-7", "k8s.pod.uid": "u1", "k8s.node.name": "gpu-17", "epitaph.kind": "Pod",
		"epitaph.code": "KernelPanic", "epitaph.class": "disruption", "epitaph.by": "kernel",
		"epitaph.record": string(record.Document)}, attributes(log)); diff != "" {
		t.Errorf("the attributes (-want +got):\n%s", diff)
	}
	for _, want := range []string{`Body: Str(the "kernel" panicked: 死)`, "SeverityNumber: Warn(13)",
		"SeverityText: disruption", "EventName: io.epitaph-k8s.pod.recorded",
		"Timestamp: " + left.Format("2006-01-02 15:04:05") + " +0000 UTC",
		"InstrumentationScope github.com/epitaph-k8s/epitaph/archive/forward/otlplog"} {
		if !strings.Contains(log, want) {
			t.Errorf("the collector has no %q in\n%s", want, log)
		}
	}
}

var attribute = regexp.MustCompile(`(?m)^ +-> ([^:]+): Str\((.*)\)$`)

// attributes are those that the collector has printed.
func attributes(text string) map[string]string {
	all := map[string]string{}
	for _, m := range attribute.FindAllStringSubmatch(text, -1) {
		all[m[1]] = m[2]
	}
	return all
}
