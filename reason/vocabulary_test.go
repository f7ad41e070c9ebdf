package reason

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestClasses(t *testing.T) {
	t.Parallel()
	tests := map[Class]string{
		Disruption: "Preempted HardwareFailure NodeHalted CloudInstanceGone KernelPanic NodeDrained Evicted NodePressure NodeShutdown " +
			"NodeUnreachable OutOfService NodeScaledDown SpotInterrupted NodeDeleted Refused",
		Routine: "ScaledDown OwnerDeleted JobFinished NamespaceDeleted RolloutReplaced TerminatedPodLimit NeverScheduled UserRequest " +
			"AlreadyEnded LimitExceeded DeadlineExceeded JobFailed RemovedByOwner Suspended",
		NoExplanation: "Unexplained",
	}
	listed := 0
	for class, codes := range tests {
		for code := range strings.FieldsSeq(codes) {
			listed++
			if got := Code(code).Class(); got != class || !Code(code).Known() {
				t.Errorf("%s is a %s, want %s", code, got, class)
			}
		}
	}
	if listed != len(classes) {
		t.Errorf("%d codes are known, %d are listed here", len(classes), listed)
	}
	if c := Code("killed"); c.Known() || c.Class() != NoExplanation {
		t.Errorf("a code of somebody else is known: %t, class %s", c.Known(), c.Class())
	}
	if got := fmt.Sprint(Disruption, Routine, NoExplanation, Class(0), Pod, Node,
		Subject(0)); got != "disruption routine unexplained invalid pod node invalid" {
		t.Errorf("classes and subjects are called %s", got)
	}
}

const manual = "../docs/reasons.md"

// The manual's table is read by people and copied into dashboards: it must match the code.
func TestManualListsEveryCode(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	found := map[Code]bool{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		code := Code(strings.Trim(strings.TrimSpace(cells[0]), "`"))
		if len(cells) != 4 || !code.Known() {
			continue
		}
		found[code] = true
		if got := strings.TrimSpace(cells[1]); got != code.Class().String() {
			t.Errorf("%s calls %s a %s, want %s", manual, code, got, code.Class())
		}
		if want, ok := podSentences[code]; ok &&
			strings.TrimSpace(cells[2]) != strings.ReplaceAll(string(want), "%", "…") {
			t.Errorf("%s has the sentence %q for %s, want %q", manual, cells[2], code, want)
		}
	}
	for code := range classes {
		if !found[code] {
			t.Errorf("%s does not list %s", manual, code)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	keys := DefaultKeys()
	if got := keys.Of(Pod); got != (Keys{
		"pod.titus.netflix.com/pod-termination-reason",
		"pod.titus.netflix.com/pod-termination-reason-code",
		"pod.titus.netflix.com/pod-termination-by-caller",
	}) {
		t.Errorf("the keys of pods are %+v", got)
	}
	if got := keys.Of(Node); got != (Keys{
		"node.titus.netflix.com/node-termination-reason",
		"node.titus.netflix.com/node-termination-reason-code",
		"node.titus.netflix.com/node-termination-by-caller",
	}) {
		t.Errorf("the keys of nodes are %+v", got)
	}
}

func TestKeysReadWhatTheyWrite(t *testing.T) {
	t.Parallel()
	want := New(Pod, Preempted, "batch/urgent", "system:kube-scheduler")
	annotations := DefaultKeys().Pod.Annotations(want)
	got, err := DefaultKeys().Pod.Read(annotations)
	if err != nil || got != want || !DefaultKeys().Pod.Has(annotations) {
		t.Errorf("read back %+v, %v, want %+v", got, err, want)
	}
	if DefaultKeys().Node.Has(annotations) {
		t.Error("the reason of a pod is taken for that of a node")
	}
}

// A code and a name that somebody else wrote go into metrics and logs.
func TestKeysReadCleans(t *testing.T) {
	t.Parallel()
	k := DefaultKeys().Pod
	got, err := k.Read(map[string]string{k.Reason: "x", k.Code: "a\nb" + strings.Repeat("c", 100),
		k.By: "\x1b" + strings.Repeat("d", 300)})
	if err != nil || len(got.Code) > 64 || len(got.By) > 256 ||
		strings.ContainsFunc(string(got.Code)+got.By, obeyed) {
		t.Errorf("read %+v, %v", got, err)
	}
}

// The page about products names every identity that the program knows.
func TestProvidersListsEveryIdentity(t *testing.T) {
	t.Parallel()
	const page = "../docs/providers.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if len(cells) == 4 && strings.HasPrefix(cells[1], "`") {
			rows[strings.Trim(cells[1], "`")] = cells[2] + " | " + cells[3]
		}
	}
	for _, id := range DefaultIdentities() {
		user := id.User.String()
		if want := id.Actor.String() + " | " + id.Source; rows[user] != want {
			t.Errorf("%s says of %s %q, want %q", page, user, rows[user], want)
		}
		delete(rows, user)
	}
	for user := range rows {
		t.Errorf("%s names %s, whom the program does not know", page, user)
	}
}
