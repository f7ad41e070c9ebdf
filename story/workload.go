package story

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A Workload is what is known of an owner of pods, such as a Job or a Deployment, and of its pods.
type Workload struct {
	APIVersion, Kind, Namespace, Name string
	// UID and Created are those of the owner that exists.
	UID     types.UID
	Created metav1.Time
	// Gone is set if none of that name exists. If the owner could not be read, neither UID nor Gone
	// is set.
	Gone bool
	// Job is the owner, if it is a Job that exists.
	Job *batchv1.Job
	// JobSpec is what the owner, a Job or a CronJob, wants of its Jobs.
	JobSpec *batchv1.JobSpec
	// Deletion is the record of the deletion of an owner of that name, if there is one.
	Deletion *v1alpha1.OwnerObituarySpec
	// Pods are the records of the pods of owners of that name.
	Pods []v1alpha1.PodObituary
	// Here describes the pods that exist.
	Here []v1alpha1.PodObituary
	// Unread is set if it could not be found out of some pods that exist whose they are.
	Unread bool
}

// OfWorkload tells the story of an owner: how each of its pods ended, how many of those ends were
// disruptions, and what still runs.
func OfWorkload(w Workload) Story {
	t := w.sortOut()
	s := Story{Title: say(w.title(t))}
	s.add(whatHappened, t.deletion())
	s.add(ItsPods, append(t.lines(), say(ofEarlier(t.earlier, w.kind())))...)
	s.add(howTheyEnded, append(lines(t.ends.String(), w.counts()), t.advice.lines()...)...)
	s.add(whatRuns, t.running(w.Unread)...)
	s.add(whoAgain, lines(w.again(t)...)...)
	s.Verdict = w.verdict(t)
	return s
}

// told is a workload, sorted out.
type told struct {
	// ended are the pods that have ended, the latest last; active are those that have not.
	ended, active []Facts
	// earlier counts the records of other owners of this name.
	earlier int
	deleted *v1alpha1.OwnerObituarySpec
	ends    Ends
	advice  *Advice
}

// sortOut separates what ended from what runs, and this owner from earlier ones of its name.
func (w Workload) sortOut() told {
	uid := w.which()
	t := told{deleted: w.Deletion}
	if t.deleted != nil && uid != "" && t.deleted.UID != uid {
		t.deleted = nil
	}
	seen := map[types.UID]bool{}
	for n := range w.Pods {
		if w.isOfEarlier(&w.Pods[n], uid) {
			t.earlier++
			continue
		}
		seen[w.Pods[n].Spec.PodUID] = true
		t.ended = append(t.ended, Facts{Pod: &w.Pods[n], Job: w.Job})
	}
	for n := range w.Here {
		f := Facts{Pod: &w.Here[n], Job: w.Job, Here: true}
		switch {
		case seen[f.spec().PodUID]:
		case f.over():
			t.ended = append(t.ended, f)
		default:
			t.active = append(t.active, f)
		}
	}
	slices.SortStableFunc(t.ended, func(a, b Facts) int { return a.endedAt().Compare(b.endedAt()) })
	t.ends = endsOf(t.ended)
	t.advice = w.advise(t)
	return t
}

// isOfEarlier reports whether a record is of a pod of an earlier owner of this name. A record that
// does not name the owner itself is of one that lived when the pod was created.
func (w Workload) isOfEarlier(o *v1alpha1.PodObituary, uid types.UID) bool {
	if of := w.ownerIn(o).UID; of != "" {
		return uid != "" && of != uid
	}
	return o.Spec.Created.Before(&w.Created)
}

// which returns the UID of the owner that the story is about: the one that exists, or the last one
// on record.
func (w Workload) which() types.UID {
	if w.UID != "" {
		return w.UID
	}
	var last *v1alpha1.PodObituary
	for n := range w.Pods {
		if o := &w.Pods[n]; w.ownerIn(o).UID != "" &&
			(last == nil || !o.Spec.Removed.Before(&last.Spec.Removed)) {
			last = o
		}
	}
	if last != nil {
		return w.ownerIn(last).UID
	}
	return ""
}

// ownerIn returns the owner as a record names it.
func (w Workload) ownerIn(o *v1alpha1.PodObituary) v1alpha1.Owner {
	for _, owner := range o.Spec.Owners {
		if owner.Kind == w.Kind && owner.Name == w.Name {
			return owner
		}
	}
	return v1alpha1.Owner{}
}

// endedAt returns when the pod ended: when it was gone or, if it exists, when its last container
// ended.
func (f Facts) endedAt() time.Time {
	if !f.spec().Removed.IsZero() {
		return f.spec().Removed.Time
	}
	last := f.spec().Created.Time
	for _, c := range f.spec().Containers {
		if c.Finished != nil && c.Finished.After(last) {
			last = c.Finished.Time
		}
	}
	return last
}

func (w Workload) kind() string { return clean(reason.KindOf(w.APIVersion, w.Kind)) }

func (w Workload) called() string { return w.kind() + " " + clean(w.Name) }

func (w Workload) is(kind reason.Kind) bool { return reason.IsKind(w.APIVersion, w.Kind, kind) }

func (w Workload) title(t told) string {
	s := w.kind() + " " + clean(w.Namespace) + "/" + clean(w.Name) + ": " +
		onRecord(len(w.Pods)-t.earlier)
	switch n := len(w.Here); n {
	case 0:
		return s + "."
	case 1:
		return s + ", and 1 exists."
	default:
		return s + fmt.Sprintf(", and %d exist.", n)
	}
}

// deletion says who deleted the owner, or had it have fewer pods.
func (t told) deletion() Line {
	d := t.deleted
	if d == nil {
		return nil
	}
	return at(d.Removed).say(": " + clean(reason.OwnerEnd{Did: reason.OwnerDeed(d.Did), To: d.To,
		Deleted: d.Deleted, By: d.DeletedBy, Application: d.Application, Says: d.Reason}.String()))
}

// lines tells of each pod that ended; of many, of the latest.
func (t told) lines() []Line {
	var lines []Line
	omitted := max(0, len(t.ended)-maxSummaries)
	if omitted > 0 {
		lines = append(lines, say(fmt.Sprintf("%d earlier ones are left out here.", omitted)))
	}
	for _, f := range t.ended[omitted:] {
		lines = append(lines, f.line())
	}
	return lines
}

// line tells of the end of a pod in one line.
func (f Facts) line() Line {
	s := at(metav1.NewTime(f.endedAt())).say(": " + f.where())
	switch code := clean(f.spec().Code); {
	case code != "":
		s = s.say(", " + code)
	case f.Here:
		s = s.say(", " + clean(f.spec().Phase) + " and still there")
	}
	if text := clean(f.spec().Reason); text != "" {
		s = s.say(": " + text)
	}
	if exits := f.exits(); exits != "" {
		s = s.say(" [" + exits + "]")
	}
	return s
}

func (f Facts) where() string {
	s := clean(f.spec().PodName)
	if node := clean(f.spec().NodeName); node != "" {
		s += " on " + node
	}
	return s
}

// exits returns how the main containers ended.
func (f Facts) exits() string {
	var s string
	for _, c := range f.mains() {
		if c.State != v1alpha1.Exited || c.ExitCode == nil || untraced(c) {
			continue
		}
		if s != "" {
			s += ", "
		}
		s += clean(c.Name) + " ended with " + exitCode(*c.ExitCode) + because(c.Reason)
	}
	return s
}

// running tells of the pods that have not ended.
func (t told) running(unread bool) []Line {
	var lines []Line
	for n, f := range t.active {
		if n == maxSummaries {
			lines = append(lines, say(fmt.Sprintf("and %d more.", len(t.active)-n)))
			break
		}
		lines = append(lines, say(f.where()+", ").then(f.standing()...))
	}
	if unread {
		lines = append(lines, say("Which other pods are its own could not be read."))
	}
	return lines
}

// standing is the present state of a pod in a few words.
func (f Facts) standing() Line {
	s := say(clean(f.spec().Phase) + ", since ").at(f.spec().Created)
	if asked := f.spec().DeletionRequested; asked != nil {
		s = s.say(", being deleted since ").at(*asked)
		if text := clean(f.spec().Reason); text != "" {
			s = s.say(": " + text)
		}
	}
	return s
}

// counts says how many failures a Job counts.
func (w Workload) counts() string {
	if w.Job == nil {
		return ""
	}
	_, failed := tally(w.Job)
	s := w.called() + " counts " + amount(failed, "failure")
	if limit := w.Job.Spec.BackoffLimit; limit != nil && w.Job.Spec.BackoffLimitPerIndex == nil {
		s += fmt.Sprintf("; its backoffLimit is %d", *limit)
	}
	return s + "."
}

func amount(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "1 " + what
	default:
		return fmt.Sprintf("%d %ss", n, what)
	}
}

// again says what the owner will do.
func (w Workload) again(t told) []string {
	switch {
	case w.is(reason.JobKind):
		lines := []string{saysState(clean(w.Name), w.jobState(), w.Job)}
		if cron := t.cronJob(); cron != "" {
			lines = append(lines, "CronJob "+cron+nextJob)
		}
		return lines
	case w.Gone:
		return []string{w.called() + " is gone: it starts no more pods."}
	case w.UID == "":
		return []string{"Whether " + w.called() +
			" starts another pod is not known: it could not be read."}
	case w.is(reason.CronJobKind):
		return []string{w.called() + nextJob}
	case w.is(reason.DeploymentKind) || replaces(v1alpha1.Owner{APIVersion: w.APIVersion,
		Kind: w.Kind}):
		return []string{w.called() + " replaces its pods by itself for as long as it wants them."}
	default:
		return []string{onlyItCanSay(w.called())}
	}
}

// cronJob returns the name of the CronJob that owns the Job, as the records have it.
func (t told) cronJob() string {
	for _, f := range t.ended {
		for _, o := range f.spec().Owners {
			if IsKind(o, reason.CronJobKind) {
				return clean(o.Name)
			}
		}
	}
	return ""
}

func (w Workload) jobState() jobState {
	switch {
	case w.Job != nil:
		return stateOf(w.Job)
	case w.Gone:
		return jobGone
	default:
		return jobUnknown
	}
}

// verdict answers whether a Job may be run again. Other owners have no end at which that would be
// asked.
func (w Workload) verdict(t told) *Verdict {
	if !w.is(reason.JobKind) {
		return nil
	}
	v := jobVerdict(clean(w.Name), w.jobState(), w.Job, t.ended)
	return &v
}
