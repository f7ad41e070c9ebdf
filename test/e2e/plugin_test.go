package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

func TestPluginWhy(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	node := panickedNode()
	job := suspendedJob(t, namespace, "nightly")
	shared.record(t, node, obituary(namespace, "train-7", func(s *v1alpha1.PodObituarySpec) {
		s.NodeName, s.NodeObituary = node.Name, node.Name
		s.Owners = []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: "nightly", UID: job}}
	}))
	title := "Pod " + namespace + "/train-7 left at 2026-05-01 12:00:00 UTC."
	died := "This node died unexpectedly because its kernel panicked! (sysrq triggered crash)"

	wantSaid(t, shared.plugin(t, "why", "pod/train-7", "-n", namespace), said{out: title + `

What happened
  This pod died unexpectedly because the underlying node kernel panicked! (sysrq triggered crash)
  KernelPanic: a disruption, which is not the program's fault. Terminated by epitaph/netconsole.
  It was on node ` + node.Name + `, which left at 2026-05-01 12:00:00 UTC: ` + died + `

How far it had come
  Container main was running since 2026-05-01 11:00:00 UTC when it was last heard of; nobody saw it end.

Who runs it again
  Job nightly has not counted it as a failure.
  Job nightly is suspended: it starts pods again when somebody resumes it.

May it be run again?
  Unknown: it was running and was cut off, by no fault of its own; it may have done part of its work. Somebody who knows the program has to decide whether it can be repeated. Do not start it beside Job nightly, which starts another pod when it is resumed.
`})
	wantSaid(t, shared.plugin(t, "why", "node", node.Name),
		said{out: `Node ` + node.Name + ` left at 2026-05-01 12:00:00 UTC.

What happened
  ` + died + `
  KernelPanic. Terminated by epitaph/netconsole.
  The last line of its kernel is kept.

Its pods
  2026-05-01 12:00:00 UTC: ` + namespace + `/train-7, KernelPanic
`})
	wantSaid(t, shared.plugin(t, "why", "job/nightly", "-n", namespace),
		said{out: `Job ` + namespace + `/nightly: 1 pod of it is on record.

Its pods
  2026-05-01 12:00:00 UTC: train-7 on ` + node.Name + `, KernelPanic: This pod died unexpectedly because the underlying node kernel panicked! (sysrq triggered crash)

How they ended
  1 ended: 1 disrupted (KernelPanic 1).
  Job nightly counts no failure; its backoffLimit is 6.

Who runs it again
  Job nightly is suspended: it starts pods again when somebody resumes it.

May it be run again?
  No: Job nightly is suspended; resume it instead.
`})
}

func TestPluginWhyOfPodsThatAreThere(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	n := shared.node(t)
	pod := shared.pod(t, namespace, n.Name, "again")
	got := shared.plugin(t, "why", "again", "-n", namespace, "-o", "json")
	if want := `"because": "it is still there and has not ended."`; got.code != 0 ||
		!strings.Contains(got.out, want) {
		t.Errorf("of a pod that runs, it said %+v, want %s", got, want)
	}

	shared.record(t, obituary(namespace, "again"))
	got = shared.plugin(t, "why", "again", "-n", namespace)
	note := fmt.Sprintf(
		"A pod again is there now (--uid %s); this is the story of an earlier one.\n",
		pod.UID)
	if got.err != note || !strings.HasPrefix(got.out, "Pod "+namespace+"/again left at") {
		t.Errorf(
			"of a name that was given again, it said %+v, want the story of the one before, and %q",
			got, note)
	}

	shared.annotate(t, namespace, "again", "the experiment is over")
	got = shared.plugin(t, "why", "again", "-n", namespace)
	if !strings.Contains(got.out,
		"again is still there.\n\nWhat happened\n  the experiment is over\n") {
		t.Errorf("of a pod with a reason, it said %+v", got)
	}
}

func TestPluginLists(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	shared.record(t, obituary(namespace, "a"),
		obituary(namespace, "b", func(s *v1alpha1.PodObituarySpec) {
			s.Code, s.Class, s.Reason, s.By, s.NodeName = "Unexplained", "unexplained",
				"Nobody said why", "carol", "other"
			s.Owners = []v1alpha1.Owner{{APIVersion: "apps/v1", Kind: "ReplicaSet",
				Name: "web-5d"}, {APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}}
			s.Removed = metav1.Now()
		}))
	tests := map[string]struct {
		args []string
		want []string
	}{
		"all":             {nil, []string{"a", "b"}},
		"by code":         {[]string{"--code", "KernelPanic"}, []string{"a"}},
		"by class":        {[]string{"--class", "unexplained"}, []string{"b"}},
		"by node":         {[]string{"--node", "other"}, []string{"b"}},
		"by age":          {[]string{"--since", "1h"}, []string{"b"}},
		"by age in days":  {[]string{"--since", "1d"}, []string{"b"}},
		"none":            {[]string{"--code", "Preempted"}, nil},
		"wide":            {[]string{"-o", "wide"}, []string{"a", "b"}},
		"by two of them":  {[]string{"--code", "KernelPanic", "--node", "other"}, nil},
		"by a pod's name": {[]string{"--pod", "a"}, []string{"a"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := shared.plugin(t, append([]string{"list", "-n", namespace}, tc.args...)...)
			var names []string
			for line := range strings.Lines(got.out) {
				if first := strings.Fields(line)[0]; first != "POD" {
					names = append(names, first)
				}
			}
			if diff := cmp.Diff(tc.want, names); got.code != 0 || diff != "" {
				t.Errorf("%+v (-want +got):\n%s", got, diff)
			}
		})
	}
	t.Run("a namespace that is not there", func(t *testing.T) {
		t.Parallel()
		got := shared.plugin(t, "list", "-n", "kube-systen")
		if got.code != 3 || got.out != "" || !strings.Contains(got.err,
			"there is no namespace kube-systen: did you mean kube-system?") {
			t.Errorf("it said %+v", got)
		}
	})
	t.Run("a code that is mistyped", func(t *testing.T) {
		t.Parallel()
		got := shared.plugin(t, "list", "-n", namespace, "--code", "KernelPnic")
		if got.code != 2 || !strings.Contains(got.err, "did you mean KernelPanic?") {
			t.Errorf("it said %+v", got)
		}
	})
	t.Run("an owner is the last of the chain", func(t *testing.T) {
		t.Parallel()
		got := shared.plugin(t, "list", "-n", namespace, "--pod", "b", "-o", "wide")
		if fields := strings.Join(strings.Fields(got.out), " "); !strings.Contains(fields,
			"b Unexplained other Deployment/web") || !strings.Contains(fields,
			"Nobody said why carol epitaph/netconsole unexplained") {
			t.Errorf("it said %+v", got)
		}
	})
	t.Run("for programs", func(t *testing.T) {
		t.Parallel()
		got := shared.plugin(t, "list", "-n", namespace, "--pod", "a", "-o", "yaml")
		if !strings.Contains(got.out, "\nkind: PodObituaryList\n") ||
			!strings.Contains(got.out, "    podName: a\n") {
			t.Errorf("it said %+v", got)
		}
	})
}

func TestPluginWatch(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	shared.record(t, obituary(namespace, "before"))
	cmd := shared.pluginCommand(t, "watch", "-n", namespace, "--code", "KernelPanic")
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shared.eventually(t, "it is watching", func(context.Context) (bool,
		error) {
		return strings.Contains(out.String(), "REASON"), nil
	})
	// Nothing says when its watch has begun: somebody goes on leaving until it is seen.
	shared.eventually(t, "it shows who leaves", func(context.Context) (bool, error) {
		shared.record(t, obituary(namespace, "another",
			func(s *v1alpha1.PodObituarySpec) { s.Code = "Evicted" }), obituary(namespace, "after"))
		time.Sleep(poll)
		return strings.Contains(out.String(), "after"), nil
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C ends it with %v, want 0", err)
	}
	for _, not := range []string{"before", "another"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("it shows %s, which was there before or is not selected:\n%s", not,
				out.String())
		}
	}
}

// A watch for programs is a stream of documents, each of which is whole.
func TestPluginWatchesForPrograms(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	outs := map[string]*lockedBuffer{}
	var watches []*exec.Cmd
	for _, format := range []string{"json", "yaml", "name", "jsonpath={.spec.podName}",
		"custom-columns=POD:.spec.podName,WHY:.spec.reason", "wide"} {
		cmd := shared.pluginCommand(t, "watch", "-n", namespace, "-o", format)
		outs[format] = &lockedBuffer{}
		cmd.Stdout, cmd.Stderr = outs[format], outs[format]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		watches = append(watches, cmd)
	}
	// Nothing says when a watch has begun: somebody goes on leaving until it is seen twice.
	shared.eventually(t, "all have shown two", func(context.Context) (bool, error) {
		shared.record(t, obituary(namespace, "p", func(s *v1alpha1.PodObituarySpec) {
			s.Reason = hostile
		}))
		time.Sleep(poll)
		for _, out := range outs {
			if strings.Count(out.String(), "\n") < 3 {
				return false, nil
			}
		}
		return true, nil
	})
	for _, cmd := range watches {
		if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
			t.Errorf("%v ends with %v", cmd.Args, err)
		}
	}
	for format, out := range outs {
		text := out.String()
		lines := strings.Split(text, "\n")
		fits := map[string]bool{
			"json":                     json.Valid([]byte(lines[0])) && json.Valid([]byte(lines[1])),
			"yaml":                     strings.HasPrefix(text, "---\napiVersion: epitaph-k8s.io/v1alpha1\nkind: PodObituary\n"),
			"name":                     strings.HasPrefix(text, "podobituary.epitaph-k8s.io/p-"),
			"jsonpath={.spec.podName}": lines[0] == "p" && lines[1] == "p",
			"custom-columns=POD:.spec.podName,WHY:.spec.reason": strings.HasPrefix(lines[0], "POD ") &&
				strings.HasPrefix(lines[1], "p "),
			"wide": strings.Contains(lines[0], "DELETED BY") && strings.HasPrefix(lines[1], "p "),
		}[format]
		if !fits || strings.IndexFunc(strings.ReplaceAll(text, "\n", ""), obeyed) >= 0 {
			t.Errorf("-o %s wrote %.2000q", format, text)
		}
	}
}

// A lockedBuffer can be read while a program writes into it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestPluginDeletes(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	n := shared.node(t)
	shared.pod(t, namespace, n.Name, "notebook")
	wantSaid(t, shared.plugin(t, "delete", "pod/notebook", "-n", namespace,
		"--reason", "the experiment is over"),
		said{out: "pod \"notebook\" deleted: the experiment is over\n"})
	over := reason.Reason{Code: reason.UserRequest,
		Text: "the experiment is over", By: "kubernetes-admin"}
	shared.leaves(t, reason.Pod, namespace+"/notebook", over)

	wantSaid(t, shared.plugin(t, "delete", "node/"+n.Name, "--reason", "moved to another rack"),
		said{out: "node \"" + n.Name + "\" deleted: moved to another rack\n"})
	moved := shared.leaves(t, reason.Node, n.Name, reason.Reason{})
	if moved.Reason.Text != "moved to another rack" || moved.Reason.By != "kubernetes-admin" {
		t.Errorf("the node left with %+v", moved.Reason)
	}
}

// A reason must not stay on a pod that lives on: a later death would inherit it.
func TestPluginTakesTheReasonOffWhenTheDeletionIsRefused(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	shared.pod(t, namespace, shared.node(t).Name, "kept")
	shared.grant(t, namespace, "half", "", []string{"pods"}, []string{"get", "patch"})
	got := shared.plugin(t, "delete", "pod/kept", "-n", namespace,
		"--reason", "no use any more", "--as", "half")
	if got.code != 1 || !strings.Contains(got.err, `delete pod kept: pods "kept" is forbidden`) {
		t.Errorf("it said %+v, want that it may not", got)
	}
	pod, err := shared.client.CoreV1().Pods(namespace).Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil || len(pod.Annotations) > 0 && keys.Pod.Has(pod.Annotations) {
		t.Errorf("the pod has %v (%v), want no reason", pod.Annotations, err)
	}

	shared.annotate(t, namespace, "kept", "somebody else's words")
	got = shared.plugin(t, "delete", "pod/kept", "-n", namespace, "--reason", "mine")
	if want :=
		`pod kept carries a reason already: "somebody else's words"; --overwrite replaces it, kubectl delete keeps it`; got.code != 1 || !strings.Contains(got.err, want) {
		t.Errorf("it said %+v, want %s", got, want)
	}
	wantSaid(t, shared.plugin(t, "delete", "kept", "-n", namespace,
		"--reason", "mine", "--overwrite", "--grace-period",
		"0"), said{out: "pod \"kept\" deleted: mine\n"})
	shared.leaves(t, reason.Pod, namespace+"/kept",
		reason.Reason{Code: reason.UserRequest, Text: "mine", By: "kubernetes-admin"})
}

func TestPluginFormatsOfRecords(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	o := obituary(namespace,
		"train-7", func(s *v1alpha1.PodObituarySpec) { s.Reason = "stopped\u202e" })
	shared.record(t, o)
	tests := map[string]string{
		"name": "podobituary.epitaph-k8s.io/" + o.Name + "\n",
		"jsonpath={range .items[*]}{.spec.podName} {.spec.code} {.spec.reason}{.spec.nothing}{end}":                            `train-7 KernelPanic stopped\u202e`,
		"go-template={{range .items}}{{.kind}} {{.spec.podName}}{{end}}":                                                       "PodObituary train-7",
		"custom-columns=POD:.spec.podName,CODE:spec.code,WHY:{.spec.reason},NONE:.spec.nothing,FIRST:.spec.containers[0].name": "POD      CODE         WHY            NONE    FIRST\ntrain-7  KernelPanic  stopped\\u202e  <none>  main\n",
	}
	for format, want := range tests {
		wantSaid(t, shared.plugin(t, "list", "-n", namespace, "-o", format), said{out: want})
	}
	for _, format := range []string{"json", "yaml"} {
		for fields, flags := range map[bool][]string{false: nil, true: {"--show-managed-fields"}} {
			got := shared.plugin(t, append([]string{"list", "-n", namespace, "-o", format},
				flags...)...)
			if got.code != 0 || strings.Contains(got.out, "managedFields") != fields ||
				!strings.Contains(got.out, "PodObituaryList") ||
				!strings.Contains(got.out, "train-7") {
				t.Errorf("-o %s %v: %+v", format, flags, got)
			}
		}
	}
}

func TestPluginExitCodes(t *testing.T) {
	t.Parallel()
	namespace, other := shared.namespace(t), shared.namespace(t)
	node, elsewhere := panickedNode(), unique("elsewhere")
	shared.record(t, node, obituary(namespace, "train-7", func(s *v1alpha1.PodObituarySpec) {
		s.Owners = []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: "nightly"}}
	}), obituary(other, elsewhere))
	tests := map[string]struct {
		args []string
		code int
		says string
	}{
		"an unknown command": {[]string{"bury"}, 2,
			`error: usage: unknown command "bury" ("kubectl epitaph --help" shows how)`},
		"almost a command": {[]string{"lsit"}, 2,
			`error: usage: unknown command "lsit": did you mean list? ("kubectl epitaph --help" shows how)`},
		"a wrong template": {[]string{"list", "-o", "jsonpath={.items"}, 2,
			"error: usage: -o jsonpath: unclosed action"},
		"a wrong column": {[]string{"list", "-o", "custom-columns=POD"}, 2,
			`error: usage: -o custom-columns: "POD" is no column: write HEADER:PATH, for example POD:.spec.podName`},
		"an unknown flag": {[]string{"list", "--colour"}, 2,
			`error: usage: unknown flag: --colour ("kubectl epitaph list --help" shows how)`},
		"no argument": {[]string{"why"}, 2,
			"error: usage: accepts between 1 and 2 arg(s)"},
		"a wrong kind": {[]string{"why", "service/x"}, 2,
			`error: usage: "service/x" is none of pod/NAME, node/NAME, job/NAME`},
		"a wrong format": {[]string{"list", "-o", "xml"}, 2, `error: usage: -o is "xml"`},
		"pods of nodes": {[]string{"list", "nodes", "--pod", "x"}, 2,
			"error: usage: --pod and --selector choose among pods, not nodes"},
		"a wrong class": {[]string{"list", "--class", "bad"}, 2,
			`error: usage: --class is "bad"`},
		"no reason": {[]string{"delete", "pod/x"}, 2,
			`error: usage: say why with --reason "…"`},
		"a reason to obey": {[]string{"delete", "pod/x", "--reason", "a\x1b[2Jb"}, 2,
			`error: usage: --reason: the reason contains the control character U+001B at byte 1`},
		"an unknown pod": {[]string{"why", "pod/nobody", "-n", namespace}, 3,
			"error: not found: pod " + namespace + "/nobody is not on record"},
		"an unknown node": {[]string{"why", "node/nobody"}, 3,
			`error: not found: node nobody is not on record`},
		"no kubeconfig": {[]string{"list", "--kubeconfig", "/nonexistent"}, 1,
			"error: find the API server: stat /nonexistent"},
		"an unknown context": {[]string{"list", "--context", "nope"}, 1,
			`error: find the API server: context "nope" does not exist: "kubectl config get-contexts" lists those there are`},
		"an unknown job": {[]string{"why", "job/nobody", "-n", namespace}, 3,
			"error: not found: job " + namespace + "/nobody is not on record"},
		"no such panic": {[]string{"panics", "nobody"}, 3,
			`error: not found: no panic of node nobody is on record`},
		"no pod to delete": {[]string{"delete", "nobody", "-n", namespace, "--reason", "x"}, 3,
			`error: not found: there is no pod nobody: "kubectl epitaph why pod/nobody" may know`},
		"no right": {[]string{"list", "-n", namespace, "--as", "mallory"}, 1,
			"You lack the right to list podobituaries.epitaph-k8s.io in namespace " + namespace +
				". An administrator grants it by\n  kubectl create rolebinding epitaph-view " +
				"--clusterrole=view --user=mallory -n " + namespace + "\n"},
		"almost a flag": {[]string{"list", "--sinze", "7d"}, 2,
			`error: usage: unknown flag: --sinze: did you mean --since?`},
		"almost a context": {[]string{"list", "--context", "sandbx"}, 1,
			`context "sandbx" does not exist: did you mean sandbox?`},
		"why in almost a namespace": {[]string{"why", "p", "-n", "kube-systen"}, 3,
			"there is no namespace kube-systen: did you mean kube-system?"},
		"why of almost a pod": {[]string{"why", "pod/trian-7", "-n", namespace}, 3,
			"pod " + namespace + "/trian-7 is not on record: did you mean train-7?"},
		"why of a pod of another namespace": {[]string{"why", "pod/" + elsewhere, "-n", namespace},
			3, "one of that name is in another namespace: -n " + other},
		"why of almost a job": {[]string{"why", "job/nihgtly", "-n", namespace}, 3,
			"job " + namespace + "/nihgtly is not on record: did you mean nightly?"},
		"why of almost a node": {[]string{"why", "node/" + node.Name[:len(node.Name)-1] + "xy"}, 3,
			" is not on record: did you mean "},
		"no server": {[]string{"list", "--server", "https://127.0.0.1:1"}, 1,
			"The API server cannot be reached: check --kubeconfig and --context."},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := shared.plugin(t, tc.args...)
			if got.code != tc.code || !strings.Contains(got.err, tc.says) || got.out != "" {
				t.Errorf("it said %+v, want %d and %q", got, tc.code, tc.says)
			}
		})
	}
}

func TestPluginPanicsAndAudit(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	node := &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: unique("crashed")}}
	node.Spec = v1alpha1.NodeObituarySpec{
		NodeName: node.Name, Removed: metav1.Now(), Code: "KernelPanic", Class: "disruption",
		Reason: "its kernel panicked", By: "epitaph/netconsole",
		KernelLog: []string{"sysrq: Trigger a crash",
			"Kernel panic - not syncing: sysrq triggered crash"},
	}
	unexplained := func(by string) func(*v1alpha1.PodObituarySpec) {
		return func(s *v1alpha1.PodObituarySpec) {
			s.Code, s.Class,
				s.By = "Unexplained", "unexplained", by
		}
	}
	found := panickedNode()
	found.Spec.By, found.Spec.KernelLog, found.Spec.Returned = "kernel of node "+found.Name, nil,
		true
	found.Spec.Amended = &v1alpha1.Amendment{At: metav1.Now(), From: "systemd-pstore"}
	shared.record(t, node, found, obituary(namespace, "a", unexplained("carol")),
		obituary(namespace, "b", unexplained("carol")),
		obituary(namespace, "c", unexplained("dave")), obituary(namespace, "d"))
	got := shared.plugin(t, "panics", node.Name)
	if _, lines, _ := strings.Cut(got.out,
		"\n"); lines != "  Heard from the kernel as it died.\n  | sysrq: Trigger a crash\n  | Kernel panic - not syncing: sysrq triggered crash\n\n" {
		t.Errorf("panics said %+v", got)
	}
	got = shared.plugin(t, "panics", found.Name)
	if title, lines, _ := strings.Cut(got.out, "\n"); !strings.Contains(title,
		" ago, and came back: This node died unexpectedly") ||
		lines != "  Found after the restart, in systemd-pstore: nobody heard the kernel.\n  (systemd-pstore had kept none of its lines)\n\n" {
		t.Errorf("of one that was found later, panics said %+v", got)
	}
	got = shared.plugin(t, "list", "nodes", "--node", found.Name, "-o", "wide")
	if fields := strings.Join(strings.Fields(got.out), " "); !strings.Contains(fields,
		"CAME BACK FOUND IN BOOT UID") || !strings.Contains(fields, "yes systemd-pstore - u") {
		t.Errorf("list nodes -o wide said %+v", got)
	}
	got = shared.plugin(t, "audit", "-n", namespace, "-o", "json")
	want := `[
    {
        "week": "2026-W18",
        "namespace": "` + namespace + `",
        "by": "carol",
        "deletions": 2
    },
    {
        "week": "2026-W18",
        "namespace": "` + namespace + `",
        "by": "dave",
        "deletions": 1
    }
]
`
	wantSaid(t, got, said{out: want})
}

// A user of one namespace reads their own and no others.
func TestPluginOfAUserOfOneNamespace(t *testing.T) {
	t.Parallel()
	mine, theirs := shared.namespace(t), shared.namespace(t)
	shared.record(t, obituary(mine, "p"), obituary(theirs, "p"), obituary(theirs, "theirs"))
	shared.grant(t, mine, "ursula", v1alpha1.GroupVersion.Group, []string{"podobituaries"},
		[]string{"get", "list", "watch"})
	if got := shared.plugin(t, "why", "p", "-n", mine, "--as", "ursula"); got.code != 0 {
		t.Errorf("of her own, it said %+v", got)
	}
	for _, args := range [][]string{{"why", "p", "-n", theirs}, {"why", "job/j", "-n", theirs},
		{"list", "-n", theirs}, {"watch", "-n", theirs}, {"watch", "-A", "-o", "json"},
		{"list", "-A"}, {"list", "nodes"}, {"why", "node/x"}, {"audit"}, {"audit", "-n", theirs},
		{"panics"}, {"delete", "pod/p", "-n", theirs, "--reason", "x"},
		{"delete", "pods", "--all", "-n", theirs, "--reason", "x"},
		{"drain", "x", "--reason", "x"}} {
		if got := shared.plugin(t, append(args, "--as", "ursula")...); got.code != 1 ||
			got.out != "" || !strings.Contains(got.err, "You lack the right to ") {
			t.Errorf("%v said %+v, want that she may not", args, got)
		}
	}
	for _, word := range []string{"pod/", "job/"} {
		got := shared.plugin(t, "__complete", "why", "-n", theirs, "--as", "ursula", word)
		if got.out != ":4\n" {
			t.Errorf("%s of what she may not read is completed with %q", word, got.out)
		}
	}
	// A name of another namespace is not told to who may not read that.
	got := shared.plugin(t, "why", "theirs", "-n", mine, "--as", "ursula")
	if got.code != 3 || strings.Contains(got.err, theirs) {
		t.Errorf("of a pod of another namespace, it said %+v", got)
	}
}

// The commands that an administrator is told grant what was lacking, and no more is needed.
func TestPluginSaysHowARightIsGranted(t *testing.T) {
	t.Parallel()
	ns := shared.namespace(t)
	shared.record(t, obituary(ns, "p"))
	for user, from := range map[string]int{"vera": 0, "walt": 1} { // by view, and by a Role
		got := shared.plugin(t, "list", "-n", ns, "--as", user)
		var commands []string
		for line := range strings.Lines(got.err) {
			if command, is := strings.CutPrefix(line, "  kubectl "); is {
				commands = append(commands, strings.TrimSpace(command))
			}
		}
		if got.code != 1 || len(commands) != 3 {
			t.Fatalf("it said %+v, want three commands", got)
		}
		for _, command := range commands[from : 1+2*from] {
			if out, err := shared.kubectl(t, ns, strings.Fields(command)...); err != nil {
				t.Fatalf("kubectl %s: %v: %s", command, err, out)
			}
		}
		shared.eventually(t, user+" may list", func(context.Context) (bool, error) {
			got = shared.plugin(t, "list", "-n", ns, "--as", user)
			return got.code == 0 && strings.Contains(got.out, "KernelPanic"), nil
		})
	}
}

// A node that exists tells what it has lost; whom it may tell of is a matter of rights.
func TestPluginWhyOfANodeThatLives(t *testing.T) {
	t.Parallel()
	ns, other, node := shared.namespace(t), shared.namespace(t), shared.node(t).Name
	at := func(s *v1alpha1.PodObituarySpec) { s.NodeName = node }
	shared.record(t, obituary(ns, "mine", at), obituary(other, "theirs", at))
	got := shared.plugin(t, "why", "node/"+node)
	for _, want := range []string{
		"Node " + node + " is there, and no end of it is on record.\n",
		"\n  It has been Ready since ", "\n  Its boot is ", "\nWhat it has lost\n",
		"\n  2026-05-01 12:00:00 UTC: " + ns + "/mine, KernelPanic: This pod died unexpectedly",
		other + "/theirs, ",
	} {
		if got.code != 0 || !strings.Contains(got.out, want) {
			t.Errorf("it said %+v, want %q", got, want)
		}
	}
	got = shared.plugin(t, "why", "node/"+node, "-o",
		"jsonpath={.exists} {.now.ready} {.now.lost[*].podName}")
	if got.out != "true True mine theirs" && got.out != "true True theirs mine" {
		t.Errorf("for programs, it said %+v", got)
	}
	user := unique("nils")
	shared.grantIn(t, "", user, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group},
		Resources: []string{"nodeobituaries"}, Verbs: []string{"list"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"},
			Verbs: []string{"get"}})
	shared.grant(t, ns, user, v1alpha1.GroupVersion.Group, []string{"podobituaries"},
		[]string{"list"})
	shared.hasRight(t, user, "", "", "nodes", "get")
	got = shared.plugin(t, "why", "node", node, "-n", ns, "--as", user)
	if got.code != 0 || !strings.Contains(got.out, "Only pods of namespace "+ns+" could be read.") ||
		!strings.Contains(got.out, ns+"/mine, ") || strings.Contains(got.out, "theirs") {
		t.Errorf("to who may read one namespace, it said %+v", got)
	}
}

func TestPluginCompletes(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	shared.record(t, obituary(namespace, "p-1"), obituary(namespace, "p-2"))
	shared.unbound(t, namespace, 1) // p-0, which lives
	for args, want := range map[string]string{
		"why -n NS po": "pod/\nnode/\njob/\ncronjob/\ndeployment/\nstatefulset/\n" +
			"daemonset/\nreplicaset/\nreplicationcontroller/\n:6\n",
		"why -n NS pod/":        "pod/p-0\npod/p-1\npod/p-2\n:4\n",
		"delete -n NS pod/":     "pod/p-0\n:4\n",
		"delete -n NS pod p-0 ": ":4\n",
		"delete -n NS pod ":     "p-0\n:4\n",
		"why -n NS po p-":       "p-0\np-1\np-2\n:4\n",
		"list -n NS --pod ":     "p-1\np-2\n:4\n",
		"list --context ":       "sandbox\n:4\n",
		"list --class ":         "disruption\nroutine\nunexplained\n:4\n",
		"list --namespace ":     "",
	} {
		words := strings.Split(strings.ReplaceAll(args, "NS", namespace), " ")
		// A busy API server may take longer than a shell waits.
		shared.eventually(t, args+" is completed with "+want, func(context.Context) (bool, error) {
			got := shared.plugin(t, append([]string{"__complete"}, words...)...)
			if want == "" { // Other tests have namespaces, too.
				return strings.Contains(got.out, "\nkube-system\n") &&
					strings.Contains(got.out, namespace+"\n"), nil
			}
			return got.out == want, nil
		})
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := shared.plugin(t, "completion", shell); got.code != 0 ||
			!strings.Contains(got.out, "__complete") {
			t.Errorf("the script for %s is %q", shell, got.out)
		}
	}
}
