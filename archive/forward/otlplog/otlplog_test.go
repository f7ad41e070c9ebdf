package otlplog_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
	"github.com/epitaph-k8s/epitaph/archive/forward/otlplog"
)

var now = time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC)

// sender is one to a collector that answers as it is told.
func sender(t *testing.T, answer func(http.ResponseWriter, *collector.ExportLogsServiceRequest)) otlplog.Sender {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		request := &collector.ExportLogsServiceRequest{}
		if err := proto.Unmarshal(body, request); err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" ||
			r.URL.Path != "/v1/logs" {
			t.Errorf("%s got %s: %v", r.URL, r.Header.Get("Content-Type"), err)
		}
		answer(w, request)
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{"url": s.URL + "/v1/logs",
		"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	clk := clocktesting.NewFakePassiveClock(now)
	return otlplog.Sender{Endpoint: &endpoint.Endpoint{Dir: dir, Timeout: 20 * time.Second, Clock: clk}, Clock: clk}
}

func records(n int) (all []archive.Record) {
	for i := range n {
		all = append(all, archive.Record{Cluster: "prod", Kind: archive.PodKind, UID: fmt.Sprint(i), Epoch: 1,
			Revision: 7, Removed: now.Add(-time.Hour), Namespace: "batch", Name: fmt.Sprintf("p%d", i), Node: "n1",
			Code: "KernelPanic", Class: "disruption", Document: []byte(`{"metadata": {"generation": 1},
				"spec": {"reason": "it \"died\" \u0000", "by": "kernel", "podUID": "u1"}}`)})
	}
	return all
}

func answered(w http.ResponseWriter, o *collector.ExportLogsServiceResponse) {
	w.Header().Set("Content-Type", "application/x-protobuf; charset=x")
	body, _ := proto.Marshal(o)
	_, _ = w.Write(body)
}

func TestWhatACollectorGets(t *testing.T) {
	t.Parallel()
	var got *collector.ExportLogsServiceRequest
	s := sender(t, func(w http.ResponseWriter, r *collector.ExportLogsServiceRequest) {
		got = r
		answered(w, &collector.ExportLogsServiceResponse{})
	})
	all := records(2)
	all[1].Kind, all[1].Class, all[1].Document = archive.NodeKind, "routine",
		[]byte(`{"metadata": {"generation": 3}, "spec": {"nodeUID": "u2"}}`)
	o, err := s.Send(t.Context(), all)
	if err != nil || o != (forward.Outcome{Sent: 2}) {
		t.Fatalf("%+v, %v", o, err)
	}
	if diff := cmp.Diff(map[string]string{"service.name": "epitaph", "k8s.cluster.name": "prod"},
		named(got.ResourceLogs[0].Resource.Attributes)); diff != "" {
		t.Errorf("the resource (-want +got):\n%s", diff)
	}
	written := got.ResourceLogs[0].ScopeLogs[0].LogRecords
	if diff := cmp.Diff(map[string]string{"log.record.uid": "prod/0/1-7", "k8s.namespace.name": "batch",
		"k8s.node.name": "n1", "k8s.pod.name": "p0", "k8s.pod.uid": "u1", "epitaph.kind": "Pod",
		"epitaph.code": "KernelPanic", "epitaph.class": "disruption", "epitaph.by": "kernel",
		"epitaph.record": string(all[0].Document)}, named(written[0].Attributes)); diff != "" {
		t.Errorf("the attributes (-want +got):\n%s", diff)
	}
	if l := written[0]; l.TimeUnixNano != uint64(now.Add(-time.Hour).UnixNano()) ||
		l.ObservedTimeUnixNano != uint64(now.UnixNano()) || l.EventName != "io.epitaph-k8s.pod.recorded" ||
		l.SeverityNumber != logs.SeverityNumber_SEVERITY_NUMBER_WARN || l.Body.GetStringValue() != "it \"died\" \x00" {
		t.Errorf("the log is %v", l)
	}
	if l := written[1]; l.EventName != "io.epitaph-k8s.node.amended" ||
		l.SeverityNumber != logs.SeverityNumber_SEVERITY_NUMBER_INFO || named(l.Attributes)["k8s.node.uid"] != "u2" {
		t.Errorf("the log of the node is %v", l)
	}
}

func named(all []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		m[a.Key] = a.Value.GetStringValue()
	}
	return m
}

// What a collector has not confirmed, it has not got.
func TestAnswers(t *testing.T) {
	t.Parallel()
	rejected := func(n int64) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			answered(w, &collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{
				RejectedLogRecords: n, ErrorMessage: "too \x1b[2J long"}})
		}
	}
	for name, tc := range map[string]struct {
		answer  func(http.ResponseWriter)
		want    forward.Outcome
		because string
	}{
		"nothing":             {func(http.ResponseWriter) {}, forward.Outcome{Sent: 3}, ""},
		"one is rejected":     {rejected(1), forward.Outcome{Sent: 2, Refused: 1, Why: `too \x1b[2J long`}, ""},
		"more than there are": {rejected(1 << 62), forward.Outcome{Refused: 3, Why: `too \x1b[2J long`}, ""},
		"fewer than none":     {rejected(-5), forward.Outcome{Sent: 3, Why: `too \x1b[2J long`}, ""},
		"a page": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>sign in</html>") },
			forward.Outcome{}, "the answer is none of an OTLP receiver"},
		"garbage": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write([]byte{0xff, 0xff, 0xff})
		}, forward.Outcome{}, "the answer is none of an OTLP receiver"},
		"no": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) }, forward.Outcome{}, "answered 400"},
	} {
		s := sender(t, func(w http.ResponseWriter, _ *collector.ExportLogsServiceRequest) { tc.answer(w) })
		o, err := s.Send(t.Context(), records(3))
		if o != tc.want || (err != nil) != (tc.because != "") || err != nil && !strings.Contains(err.Error(), tc.because) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}
