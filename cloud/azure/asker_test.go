package azure

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/cloud/internal/documented"
)

func TestAnswer(t *testing.T) {
	r := serve(t, health(annotated{Name: "VirtualMachinePreempted"}), nil)
	got, err := r.ask(t, ofSet)
	want := v1alpha1.CloudAnswer{
		Cloud: "azure", Asked: metav1.NewTime(asked), What: "spot-interruption",
		When: metav1.NewTime(time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)),
		Detail: "VirtualMachinePreempted, Platform Initiated, Unplanned: " +
			"This virtual machine is in words.",
		Sources: []string{"Microsoft.ResourceGraph/resources/read"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; -want +got:\n%s", err, diff)
	}
	if len(r.queries) != 1 || !strings.Contains(r.queries[0],
		"tolower(tostring(properties.targetResourceId)) == '"+strings.ToLower(ofSet)+"'\n") {
		t.Errorf("asked %q", r.queries)
	}
}

// What the annotations explain, the activity log is not asked for.
func TestAnnotations(t *testing.T) {
	const removed = "VirtualMachineDeallocationInitiated"
	tests := map[string]struct {
		all  []annotated
		what string
		log  bool
	}{
		"preempted":                   {[]annotated{{Name: "VirtualMachinePreempted"}}, "spot-interruption", false},
		"host crashed":                {[]annotated{{Name: "VirtualMachineHostCrashed"}}, "host-failure", false},
		"host repaired":               {[]annotated{{Name: "VirtualMachineHostRebootedForRepair"}}, "host-failure", false},
		"moved for repair":            {[]annotated{{Name: "VirtualMachineMigrationInitiatedForRepair"}}, "host-failure", false},
		"storage lost":                {[]annotated{{Name: "VirtualMachineStorageOffline"}}, "host-failure", false},
		"moved for maintenance":       {[]annotated{{Name: "VirtualMachineMigrationInitiatedForPlannedMaintenance"}}, "host-maintenance", false},
		"restarted for maintenance":   {[]annotated{{Name: "VirtualMachineRebootInitiatedForPlannedMaintenance"}}, "host-maintenance", false},
		"redeployed for maintenance":  {[]annotated{{Name: "VirtualMachineRedeployInitiatedByControlPlaneDueToPlannedMaintenance"}}, "host-maintenance", false},
		"crashed":                     {[]annotated{{Name: "VirtualMachineCrashed"}}, "panic", false},
		"stopped from within":         {[]annotated{{Name: "VirtualMachineStoppedInternally"}}, "shutdown", false},
		"restarted":                   {[]annotated{{Name: "VirtualMachineRestarted"}}, "terminated", true},
		"restarted by a call":         {[]annotated{{Name: "VirtualMachineRebootInitiatedByControlPlane"}}, "terminated", true},
		"redeployed by a call":        {[]annotated{{Name: "VirtualMachineRedeployInitiatedByControlPlane"}}, "terminated", true},
		"deallocated":                 {[]annotated{{Name: removed}}, "terminated", true},
		"stopped":                     {[]annotated{{Name: "VirtualMachineStopInitiatedByControlPlane"}}, "terminated", true},
		"removed after it failed":     {[]annotated{{removed, 1}, {"VirtualMachineHostCrashed", -5}}, "host-failure", false},
		"removed long after a crash":  {[]annotated{{removed, 0}, {"VirtualMachineCrashed", -45}}, "terminated", true},
		"crashed as its host failed":  {[]annotated{{"VirtualMachineHostRebootedForRepair", 0}, {"VirtualMachineCrashed", -1}}, "host-failure", false},
		"preempted, then allocated":   {[]annotated{{removed, 0}, {"VirtualMachineAllocated", -10}, {"VirtualMachinePreempted", -20}}, "terminated", true},
		"stopped, then started":       {[]annotated{{"VirtualMachineStartInitiatedByControlPlane", -10}, {"VirtualMachineStopInitiatedByControlPlane", -20}}, "", true},
		"what it survives":            {[]annotated{{Name: "LiveMigrationSucceeded"}}, "", true},
		"what a later machine of its": {[]annotated{{"VirtualMachinePreempted", 60}}, "", true},
		"nothing":                     {nil, "", true},
	}
	tested := map[string]bool{}
	for name, tc := range tests {
		for _, a := range tc.all {
			tested[a.Name] = true
		}
		t.Run(name, func(t *testing.T) {
			r := serve(t, health(tc.all...), log())
			got, err := r.askAt(t, t.Context(), machine, gone.Add(time.Hour))
			if err != nil || got.What != tc.what || len(r.filters) > 0 != tc.log {
				t.Errorf("%q (%s), %v, asked %q, want %q", got.What, got.Detail, err, r.filters,
					tc.what)
			}
		})
	}
	for _, kind := range explain.List[map[string]any](os.DirFS("records"), "annotations.yaml") {
		if name := kind["annotation"].(string); !tested[name] {
			t.Errorf("no test has the annotation %s", name)
		}
	}
}

func TestLog(t *testing.T) {
	const cluster = "/subscriptions/x/resourcegroups/y/providers/Microsoft.ContainerService/" +
		"managedClusters/prod"
	identity := func(e event, name string) event {
		e.Identity = name
		return e
	}
	at := func(e event, minute int, id, status string) event {
		e.Minute, e.ID, e.Status = minute, id, status
		return e
	}
	const number = "0f3a1c2b-9d4e-4a5b-8c6d-7e8f9a0b1c2d"
	tests := map[string]struct {
		resource  string
		all       []event
		what, who string
	}{
		"deleted":     {machine, []event{called("delete", alice)}, "terminated", alice},
		"deallocated": {machine, []event{called("deallocate/action", alice)}, "terminated", alice},
		"powered off": {machine, []event{called("powerOff/action", alice)}, "terminated", alice},
		"restarted":   {machine, []event{called("restart/action", alice)}, "terminated", alice},
		"redeployed":  {machine, []event{called("redeploy/action", alice)}, "terminated", alice},
		"reimaged":    {machine, []event{called("reimage/action", alice)}, "terminated", alice},
		"evicted": {machine, []event{called("delete", "bob@example.com"),
			called("evictSpotVM/action", "Microsoft.Compute")}, "spot-interruption",
			"Microsoft.Compute"},
		"eviction simulated": {machine, []event{called("simulateEviction/action", alice)}, "spot-interruption", alice},
		"deleted after a restart": {machine, []event{at(called("restart/action", "bob@example.com"), 0, "2", "Succeeded"),
			at(called("delete", alice), -1, "1", "Succeeded")}, "terminated", alice},
		"the latest": {machine, []event{at(called("delete", alice), 0, "2", "Succeeded"),
			at(called("delete", "bob@example.com"), -60, "1", "Succeeded")}, "terminated", alice},
		"a call that failed": {machine, []event{at(called("delete", "mallory@example.com"), 0, "2", "Failed"),
			at(called("delete", "mallory@example.com"), -1, "2", "Started"),
			at(called("deallocate/action", alice), -1, "1", "Succeeded")}, "terminated", alice},
		"an application":        {machine, []event{called("delete", number)}, "terminated", number},
		"a managed identity":    {machine, []event{identity(called("delete", number), "/subscriptions/x/resourcegroups/y/providers/Microsoft.ManagedIdentity/userAssignedIdentities/karpenter")}, "terminated", "karpenter"},
		"the cluster":           {machine, []event{identity(called("delete", number), cluster)}, "scale-in", "prod"},
		"autoscale":             {ofSet, []event{calledOnSet("delete/action", "Microsoft.Insights/autoscaleSettings", `{"instanceIds":["3"]}`)}, "scale-in", "Microsoft.Insights/autoscaleSettings"},
		"a set's machine":       {ofSet, []event{{Name: "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/delete", Resource: strings.ToUpper(ofSet), Caller: alice, ID: "1", Status: "Succeeded"}}, "terminated", alice},
		"some of a set":         {ofSet, []event{identity(calledOnSet("delete/action", number, `{"instanceIds":["1","3"]}`), cluster)}, "scale-in", "prod"},
		"others of a set":       {ofSet, []event{calledOnSet("delete/action", alice, `{"instanceIds":["1","33"]}`)}, "", ""},
		"all of a set":          {ofSet, []event{calledOnSet("delete/action", alice, `{"instanceIds":["*"]}`)}, "terminated", alice},
		"a set":                 {ofSet, []event{calledOnSet("delete", alice, "")}, "terminated", alice},
		"a set is stopped":      {ofSet, []event{calledOnSet("deallocate/action", alice, "")}, "terminated", alice},
		"a cut record of a set": {ofSet, []event{calledOnSet("delete/action", alice, `{"instanceIds":["1`)}, "", ""},
		"a set's, evicted": {ofSet, []event{calledOnSet("evictSpotVM/action", "Microsoft.Compute", `{"instanceIds":["3"]}`)},
			"spot-interruption", "Microsoft.Compute"},
		"one of a set, evicted": {ofSet, []event{calledOnSet("evictSpotVM/action", "Microsoft.Compute", "")}, "", ""},
		"words that no log has": {machine, []event{called("preempt/action", "Microsoft.Compute"),
			called("preempted/action", "Microsoft.Compute")}, "", ""},
		"no end":           {machine, []event{called("write", alice)}, "", ""},
		"another's delete": {machine, []event{{Name: "Microsoft.Network/networkInterfaces/delete", Resource: machine, Caller: alice}}, "", ""},
		"another machine":  {machine, []event{{Name: "Microsoft.Compute/virtualMachines/delete", Resource: machine + "2", Caller: alice}}, "", ""},
		"nobody":           {machine, []event{called("delete", "")}, "terminated", "somebody unknown"},
		"hostile": {machine, []event{called("delete", "a\u202e\x1b"+strings.Repeat("b", 300))}, "terminated",
			`a\u202e\x1b` + strings.Repeat("b", 242) + "…"},
	}
	tested := map[int]bool{}
	for name, tc := range tests {
		for _, e := range tc.all {
			tested[rank(e.Name)] = true
		}
		t.Run(name, func(t *testing.T) {
			r := serve(t, health(), log(tc.all...))
			got, err := r.askAt(t, t.Context(), tc.resource, gone.Add(time.Hour))
			if err != nil || got.What != tc.what || got.Who != tc.who {
				t.Errorf("%q, %q, %v, want %q, %q", got.What, got.Who, err, tc.what, tc.who)
			}
		})
	}
	for n, o := range operations() {
		if !tested[n] {
			t.Errorf("no test has the operation %s", o.Operation)
		}
	}
}

func TestFilter(t *testing.T) {
	r := serve(t, health(), log())
	if _, err := r.askAt(t, t.Context(), ofSet, gone.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	const times = "eventTimestamp ge '2026-11-29T10:01:00Z' and " +
		"eventTimestamp le '2026-11-30T10:16:00Z' and "
	want := []string{times + "resourceUri eq '" + strings.ToLower(ofSet) + "'",
		times + "resourceUri eq '" + strings.ToLower(scaleSet) + "'"}
	if diff := cmp.Diff(want, r.filters); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNotYet(t *testing.T) {
	for name, tc := range map[string]struct {
		after time.Duration
		want  error
	}{
		"the log may lag":   {19 * time.Minute, explain.ErrNotYet},
		"it lags no longer": {21 * time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, health(annotated{Name: "VirtualMachineDeallocationInitiated"}), log())
			got, err := r.askAt(t, t.Context(), machine, gone.Add(tc.after))
			if !errors.Is(err, tc.want) || got.What != "terminated" || got.Who != "" {
				t.Errorf("%+v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

func TestNotOurs(t *testing.T) {
	_, err := serve(t, nil, nil).asker(t, asked).Ask(t.Context(),
		explain.Instance{ProviderID: "gce://project/zone/name"})
	if !errors.Is(err, explain.ErrNotOurs) {
		t.Errorf("%v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Run("one of two", func(t *testing.T) {
		r := serve(t, refusal(http.StatusForbidden, "AuthorizationFailed"),
			log(called("delete", alice)))
		got, err := r.ask(t, machine)
		want := []string{
			"Microsoft.ResourceGraph/resources/read: 403 AuthorizationFailed: in words"}
		if diff := cmp.Diff(want, got.Unanswered); diff != "" || err != nil || got.Who != alice {
			t.Errorf("%+v, %v, -want +got:\n%s", got, err, diff)
		}
	})
	t.Run("both", func(t *testing.T) {
		r := serve(t, refusal(http.StatusForbidden, "AuthorizationFailed"),
			refusal(http.StatusForbidden, "AuthorizationFailed"))
		got, err := r.askAt(t, t.Context(), machine, gone.Add(time.Hour))
		want := "Microsoft.ResourceGraph/resources/read: 403 AuthorizationFailed: in words\n" +
			"Microsoft.Insights/eventtypes/values/read: 403 AuthorizationFailed: in words"
		if err == nil || err.Error() != want || len(got.Sources) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("expired credentials", func(t *testing.T) {
		r := serve(t, nil, nil)
		r.token = answers(http.StatusUnauthorized, documented.Reply("token-error.json", nil))
		if _, err := r.ask(t, machine); err == nil ||
			!strings.Contains(err.Error(), "AADSTS700024") || errors.Is(err, explain.ErrNotYet) {
			t.Errorf("%v", err)
		}
	})
}

func TestThrottled(t *testing.T) {
	limited := refusal(http.StatusTooManyRequests, "RateLimiting")
	limited[0].header["Retry-After"] = "7"
	r := serve(t, limited, log(called("delete", alice)))
	got, err := r.ask(t, machine)
	if !errors.Is(err, explain.ErrNotYet) || explain.After(err) != 7*time.Second ||
		got.Who != alice {
		t.Errorf("%+v, %v after %v", got, err, explain.After(err))
	}
}

// Half an outage: what answers is told, and asked again for the rest.
func TestOutage(t *testing.T) {
	r := serve(t, refusal(http.StatusServiceUnavailable, "ServiceUnavailable"),
		log(called("delete", alice)))
	got, err := r.ask(t, machine)
	if !errors.Is(err, explain.ErrNotYet) || got.Who != alice || len(r.queries) != retries+1 {
		t.Errorf("%+v, %v, asked %d times", got, err, len(r.queries))
	}
}

func TestPages(t *testing.T) {
	r := serve(t, health(), nil)
	next := r.URL + "/subscriptions/" + subscription +
		"/providers/Microsoft.Insights/eventtypes/management/values?$skiptoken=1"
	r.log = []reply{logPage(next), logPage("", called("delete", alice))}
	if got, err := r.ask(t, machine); err != nil || got.Who != alice {
		t.Errorf("who is on the second page: %+v, %v", got, err)
	}
	r.log, r.filters = []reply{logPage(next)}, nil
	if _, err := r.askAt(t, t.Context(), machine, gone.Add(time.Hour)); err != nil ||
		len(r.filters) != maxPages {
		t.Errorf("%d pages are read: %v", len(r.filters), err)
	}
}

func TestSlow(t *testing.T) {
	r := serve(t, nil, nil)
	over := make(chan struct{})
	defer close(over)
	r.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.askAt(t, ctx, machine, asked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestHostile(t *testing.T) {
	for name, body := range map[string]string{
		"empty": "", "no JSON": "<html>", "another JSON": `[1]`, "null": `null`,
		"rows of another form": `{"data": [1, null, {"occurred": "never"}], "value": [null]}`,
		"endless":              `{"data": [{"summary": "` + strings.Repeat("a", 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			all := []reply{answers(http.StatusOK, body)}
			if got, err := serve(t, all, all).ask(t, machine); err == nil || got.What != "" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
