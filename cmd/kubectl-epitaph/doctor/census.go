package doctor

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// maxNamed is how many nodes a line names; more are counted.
const maxNamed = 5

// A roster counts nodes, and names the first of them.
type roster struct {
	n     int
	first []string
}

func (r *roster) add(node string) {
	if r.n++; len(r.first) < maxNamed {
		r.first = append(r.first, terminal.Clean(node))
	}
}

func (r *roster) String() string {
	named := strings.Join(r.first, ", ")
	if more := r.n - len(r.first); more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	return named
}

// A complaint is a fault that agents report, with the text of the first report.
type complaint struct {
	roster
	text string
}

// A census sums up the agents' reports. Its size depends neither on the number of nodes nor on what
// they write.
type census struct {
	nodes, reports int
	// silent have no report, unreadable one that cannot be read, and late one of another boot.
	silent, unreadable, late roster
	// mute are nodes whose kernel speaks to nobody, panicked those whose last boot ended in a
	// panic.
	mute, panicked roster
	// clouds are nodes whose agent asks a cloud, by provider, and announced those that are about to
	// be taken away.
	clouds map[string]*cloudRoster
	// panic is what the first of those panicked of.
	panic      string
	complaints map[string]*complaint
}

// A cloudRoster counts nodes whose cloud answers, or does not, and those for which it has announced
// something.
type cloudRoster struct{ answered, silent, announced roster }

func newCensus() *census {
	return &census{complaints: map[string]*complaint{}, clouds: map[string]*cloudRoster{}}
}

func (c *census) count(node *corev1.Node) {
	c.nodes++
	report, found, err := termination.ReportOf(node)
	switch {
	case !found:
		c.silent.add(node.Name)
		return
	case err != nil:
		c.reports++
		c.unreadable.add(node.Name)
		return
	}
	c.reports++
	if boot := node.Status.NodeInfo.BootID; boot != "" && boot != report.BootID {
		c.late.add(node.Name) // it is about an earlier boot
		return
	}
	if len(report.SpeaksTo) == 0 {
		c.mute.add(node.Name)
	}
	c.complain(node.Name, report.Troubles)
	c.countCloud(node.Name, report.Cloud)
	if last := report.LastBoot; last != nil && last.Ended == "panic" {
		if c.panicked.add(node.Name); c.panic == "" {
			c.panic = terminal.Clean(last.Panic)
		}
	}
}

// otherCloud stands for providers that this version does not know.
const otherCloud = "another cloud"

func (c *census) countCloud(node string, cloud *termination.Cloud) {
	if cloud == nil {
		return
	}
	provider := otherCloud
	if slices.Contains(clouds, cloud.Provider) {
		provider = cloud.Provider
	}
	if c.clouds[provider] == nil {
		c.clouds[provider] = &cloudRoster{}
	}
	of := c.clouds[provider]
	if cloud.Silent {
		of.silent.add(node)
	} else {
		of.answered.add(node)
	}
	if len(cloud.Announced) > 0 {
		of.announced.add(node)
	}
}

// clouds are those whose metadata service agents ask (config.Cloud).
var clouds = []string{"aws", "gce", "azure"}

// answers says what the clouds answer.
func (c *census) answers() (all []Diagnosis) {
	for _, provider := range append(slices.Clone(clouds), otherCloud) {
		of := c.clouds[provider]
		if of == nil {
			continue
		}
		what := "metadata of " + provider
		if of.answered.n > 0 {
			all = append(all, Diagnosis{Well, what, fmt.Sprintf("%s it", have(of.answered.n))})
		}
		if of.silent.n > 0 {
			all = append(all, Diagnosis{Dubious, what, fmt.Sprintf(
				"%s no answer: that the cloud takes it away is not heard: %s", have(of.silent.n),
				&of.silent)})
		}
		if of.announced.n > 0 {
			all = append(all, Diagnosis{Dubious, what, fmt.Sprintf(
				"%s an end announced by the cloud, in annotation %s: %s", have(of.announced.n),
				reason.EvidenceKey, &of.announced)})
		}
	}
	return all
}

// otherFault collects the codes that this version does not know: whoever may write a Node could
// write any number of them.
const otherFault = "unknown"

// complain counts each fault once per node.
func (c *census) complain(node string, troubles []termination.Trouble) {
	counted := map[string]bool{}
	for _, t := range troubles {
		code := otherFault
		if slices.Contains(fault.Codes(), fault.Code(t.Code)) {
			code = t.Code
		}
		if counted[code] {
			continue
		}
		counted[code] = true
		if c.complaints[code] == nil {
			c.complaints[code] = &complaint{text: reason.CleanTo(t.Text, reason.MaxTextBytes)}
		}
		c.complaints[code].add(node)
	}
}

// diagnoses returns the most costly first: panics that nobody would hear.
func (c *census) diagnoses() []Diagnosis {
	const what = "agents' reports"
	all := []Diagnosis{{Well, what, fmt.Sprintf("%d of %d nodes have one", c.reports, c.nodes)}}
	for _, d := range []struct {
		of   *roster
		says string
	}{
		{&c.silent, "%s no report: no agent runs there, or it cannot write: %s"},
		{&c.unreadable, "%s a report that cannot be read: %s"},
		{&c.late,
			"%s a report of another boot than the present one: the agent has not reported since the restart: %s"},
		{&c.mute, "%s a kernel that speaks to no listener: a panic is not heard: %s"},
	} {
		if d.of.n > 0 {
			all = append(all, Diagnosis{Dubious, what, fmt.Sprintf(d.says, have(d.of.n), d.of)})
		}
	}
	all = append(all, c.answers()...)
	for _, code := range append(fault.Codes(), otherFault) {
		if x := c.complaints[string(code)]; x != nil {
			all = append(all, Diagnosis{Dubious, "fault " + string(code),
				fmt.Sprintf("%s it: %s. The first says: %s", have(x.n), &x.roster, x.text)})
		}
	}
	if c.panicked.n > 0 {
		all = append(all, Diagnosis{Dubious, "last boots",
			fmt.Sprintf(
				"%s one that ended in a panic: %s. The first: %s. \"kubectl epitaph panics\" has the kernels' lines",
				have(c.panicked.n), &c.panicked, c.panic)})
	}
	return all
}

func have(nodes int) string {
	if nodes == 1 {
		return "1 node has"
	}
	return fmt.Sprintf("%d nodes have", nodes)
}
