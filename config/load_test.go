package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

// Each file of testdata/broken is named after its mistake; the .txt file beside it is what the
// operator reads.
func TestBroken(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d broken configurations, %v, want 40 or more", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".yaml")
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(name + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(file)
			if err == nil {
				t.Fatal("the file was accepted")
			}
			if diff := cmp.Diff("configuration "+file+":\n"+string(want),
				err.Error()+"\n"); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(config.Config{}, c); diff != "" {
				t.Errorf("a broken file leads to a configuration:\n%s", diff)
			}
		})
	}
}

func TestEmptyIsTheDefault(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"nothing": "", "a comment": "# all defaults\n", "a marker": "---\n",
		"an empty mapping": "{}", "null": "null\n",
		"an empty section": "gc:\nwebhook: {}\n",
	} {
		c, err := config.Parse([]byte(file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(config.Default(), c); diff != "" {
			t.Errorf("%s (-default +got):\n%s", name, diff)
		}
	}
}

func TestDefaultIsValid(t *testing.T) {
	t.Parallel()
	for _, err := range config.Default().Validate() {
		t.Error(err)
	}
}

// The reference file has every field, with the default where it does not say otherwise.
func TestFull(t *testing.T) {
	t.Parallel()
	got, err := config.Load("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Inference = config.Inference{
		Signals: []reason.Signal{
			{
				Mark: reason.Mark{
					Condition: pattern("BatteryLow"), Status: "True",
					Reasons: []reason.Pattern{pattern("UPS*")},
					Message: pattern("/runtime (low|short)/"),
				},
				With: []reason.Mark{{Unschedulable: true},
					{Label: pattern("example.com/drains")}},
				Without: []reason.Mark{{Annotation: pattern("example.com/ups-test"),
					Value: pattern("yes")}},
				Code: reason.HardwareFailure, Detail: "{type}: runtime {1}",
				Rank: reason.Failure, Source: "our UPS exporter",
			},
			{Mark: reason.Mark{Taint: pattern("example.com/rack-move"), Effect: "NoExecute"},
				Code: reason.NodeDrained},
		},
		Identities: []reason.Identity{{
			User:   pattern("system:serviceaccount:infra:shrinker*"),
			Groups: []reason.Pattern{pattern("system:serviceaccounts:infra")},
			Actor:  reason.Autoscaler, Source: "our own",
		}},
		OwnerSignals: []reason.OwnerSignal{
			{
				Of: reason.Decider{Group: "queue.example.com", Kind: "Ticket",
					Resource: "tickets", Labelled: "queue.example.com/job-uid"},
				Condition: pattern("Revoked"), Status: "True",
				Reasons: []reason.Pattern{pattern("Outbid")},
				Code:    reason.Preempted, Detail: "{object}: {message}", Source: "our queue",
			},
			{
				Of: reason.Decider{Group: "trains.example.com", Kind: "Train",
					Resource: "trains", Owner: true},
				Field: "status.phase", Value: pattern("/^(Halted|Broken)$/"),
				Words: "status.message", Code: reason.Evicted, Node: true,
			},
			{
				Of: reason.Decider{Group: "trains.example.com", Kind: "Track",
					Resource: "tracks", NamedByLabel: "example.com/track"},
				Deleting: true, Code: reason.Suspended,
			},
			{
				Of: reason.Decider{Group: "trains.example.com", Kind: "Ticket",
					Resource: "tickets", NamedByAnnotation: "example.com/ticket"},
				Condition: pattern("Expired"), Code: reason.DeadlineExceeded,
			},
		},
		Operators: []reason.Operator{{Group: "trains.example.com", Kind: "Train",
			Users:  []reason.Pattern{pattern("system:serviceaccount:trains:dispatcher")},
			Source: "our own"}},
		NamePreemptors: true,
	}
	want.Webhook.ClientCA = "apiserver-ca.crt"
	want.Webhook.ClientNames = []string{"kube-apiserver"}
	want.Webhook.Certificates = []string{"epitaph-webhook", "epitaph-ca"}
	want.Webhook.RenewedSecret = "epitaph-webhook-helm"
	want.Agent.Listeners = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:6666"),
		netip.MustParseAddrPort("[fd00::9]:6666")}
	want.Agent.Cloud.Provider, want.Agent.Cloud.Endpoint = config.AWS, "http://[fd00:ec2::254]"
	want.Netconsole.KernelRules = []kernel.Rule{{
		ID: "our-accelerator", Kind: "accelerator", Severity: kernel.Fatal,
		Starts:    []string{"board "},
		Match:     "^acme (?P<dev>acme[0-9]+): board (?P<what>burnt|melted)",
		Subsystem: []string{"acme"}, NotDevices: "^acme9",
		After: []string{"pci-unplugged"}, NotAfter: []string{"usb-unplugged"},
		Device: "accelerator {dev}", Failure: "{what}",
		Lasts: metav1.Duration{Duration: 24 * time.Hour}, Source: "acme.c",
	}}
	want.Archive.Receivers = []config.Receiver{
		{Name: "siem", Format: config.CloudEvents,
			Since: &metav1.Time{Time: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)},
			Kinds: []string{"Pod", "Node"},
			Codes: []reason.Code{reason.KernelPanic, reason.HardwareFailure}, Classes: []string{"disruption"},
			Namespaces: []string{"batch", "training"}, Timeout: metav1.Duration{Duration: 20 * time.Second}},
		{Name: "chat", Format: config.Template, Template: `{"text": "{{ slack .Namespace }}/` +
			`{{ slack .Name }}: {{ slack .Reason }}"}` + "\n"},
		{Name: "collector", Format: config.OTLP, PlainHTTP: true},
	}
	want.Webhook.Rules = append([]config.Rule{fullRule()}, want.Webhook.Rules...)
	if diff := cmp.Diff(want, got,
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func pattern(text string) reason.Pattern { return reason.MustPattern(text) }

func fullRule() config.Rule {
	return config.Rule{
		Name: "batch-of-production", Actors: []config.RuleActor{config.Person,
			config.ServiceAccount},
		Users: []string{"alice", "ci-*"}, Groups: []string{"batch-*"},
		Namespaces: []string{"batch-*"},
		NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{"stage": "production"}},
		Resources: []string{"pods"}, Operations: []config.Operation{config.Delete},
		Expression: "!has(object.metadata.labels) || !('scratch' in object.metadata.labels)",
		Action:     config.Require,
	}
}

func TestOneFieldChangesOnlyItself(t *testing.T) {
	t.Parallel()
	got, err := config.Parse([]byte("gc:\n  brake:\n    window: 1h\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.GC.Brake.Window.Duration = time.Hour
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The decoder merges the elements of a list into those that exist: a rule of the file would inherit
// the actors of the default rule in its place.
func TestListReplacesTheDefault(t *testing.T) {
	t.Parallel()
	got, err := config.Parse(
		[]byte(
			"webhook:\n  rules:\n  - {name: all, action: Require}\n  neverDeniedNamespaces: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]config.Rule{{Name: "all", Action: config.Require}},
		got.Webhook.Rules); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(got.Webhook.NeverDeniedNamespaces) != 0 {
		t.Errorf("an empty list leaves %v", got.Webhook.NeverDeniedNamespaces)
	}
}

// What precedes the first document is not a document; anything after it would be ignored silently.
func TestDocuments(t *testing.T) {
	t.Parallel()
	const several = "the file contains more than one document: keep one, without --- after its start"
	tests := map[string]struct{ file, err string }{
		"a comment before the marker":      {file: "# ours\n\n---\ngc: {}\n"},
		"a directive before the marker":    {file: "%YAML 1.1\n---\ngc: {}\n"},
		"a document on the marker's line":  {file: "--- {gc: {}}\n"},
		"a second one":                     {file: "gc: {}\n---\ngc: {}\n", err: several},
		"a second one, blanks behind it":   {file: "gc: {}\n--- \t\r\ngc: {}\n", err: several},
		"a second one on its line":         {file: "gc: {}\n--- {gc: {}}\n", err: several},
		"two markers":                      {file: "---\n---\ngc: {}\n", err: several},
		"two markers, a comment after one": {file: "--- # ours\n---\ngc: {}\n", err: several},
	}
	for name, tt := range tests {
		if _, err := config.Parse([]byte(tt.file)); (err == nil) != (tt.err == "") ||
			err != nil && err.Error() != tt.err {
			t.Errorf("%s: Parse = %v, want %q", name, err, tt.err)
		}
	}
}

// The bounds themselves are allowed, and the client's QPS may be a fraction.
func TestBoundsAreAllowed(t *testing.T) {
	t.Parallel()
	got, err := config.Parse(
		[]byte(
			"webhook: {timeout: 30s}\ngc: {quarantine: 1s, workers: 256}\nclient: {qps: 12.5}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Webhook.Timeout.Duration, want.GC.Quarantine.Duration, want.GC.Workers,
		want.Client.QPS = 30*time.Second, time.Second, 256, 12.5
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLoadFromNowhere(t *testing.T) {
	t.Parallel()
	const want = "read the configuration: stat testdata/nowhere.yaml: no such file or directory: name an existing file with --config"
	if _, err := config.Load("testdata/nowhere.yaml"); err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
}

func TestLoadIsBounded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(file, []byte(strings.Repeat("#\n", 1<<19)+"#"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "read the configuration " + file + ": it has 1048577 bytes, at most 1048576 are allowed"
	if _, err := config.Load(file); err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
}

func TestInferrer(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Inference.Signals = []reason.Signal{{Mark: reason.Mark{Taint: pattern("mine")},
		Code: reason.NodeDrained}}
	c.Inference.Identities = []reason.Identity{{User: pattern("mine"), Actor: reason.Autoscaler}}
	got := c.Inferrer()
	if n := len(got.Signals); n != 1+len(reason.DefaultSignals()) ||
		got.Signals[0].Mark.Taint.String() != "mine" {
		t.Errorf("%d signals, the first %+v: want mine before the default ones", n, got.Signals[0])
	}
	if n := len(got.Identities); n != 1+len(reason.DefaultIdentities()) ||
		got.Identities[0].User.String() != "mine" {
		t.Errorf("%d identities, the first %+v: want mine before the default ones", n,
			got.Identities[0])
	}
	c.Inference.OmitDefaultSignals, c.Inference.OmitDefaultIdentities = true, true
	if got := c.Inferrer(); len(got.Signals) != 1 || len(got.Identities) != 1 {
		t.Errorf("without the default ones %d signals and %d identities are left, want 1 and 1",
			len(got.Signals), len(got.Identities))
	}
	c.Inference.OwnerSignals = []reason.OwnerSignal{{Of: reason.Decider{Kind: "Mine"}}}
	c.Inference.Operators = []reason.Operator{{Group: "mine"}}
	if got := c.Inferrer(); len(got.OwnerSignals) != 1+len(reason.DefaultOwnerSignals()) ||
		got.OwnerSignals[0].Of.Kind != "Mine" ||
		len(got.Operators) != 1+len(reason.DefaultOperators()) || got.Operators[0].Group != "mine" {
		t.Errorf("%d owner signals and %d operators: want mine before the default ones",
			len(got.OwnerSignals), len(got.Operators))
	}
	c.Inference.OmitDefaultOwnerSignals = true
	if got := c.Inferrer(); len(got.OwnerSignals) != 1 {
		t.Errorf("without the default ones %d owner signals are left, want 1",
			len(got.OwnerSignals))
	}
	if got := c.Inferrer().Keys; got != reason.DefaultKeys() {
		t.Errorf("the keys are %+v", got)
	}
}

// FuzzParse checks that any file yields a valid configuration or an error, never a panic.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, file := range append(files, "testdata/full.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		for _, wrong := range c.Validate() {
			t.Errorf("accepted, but %v", wrong)
		}
	})
}
