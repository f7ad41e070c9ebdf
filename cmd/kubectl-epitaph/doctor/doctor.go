// Package doctor examines an installation of Epitaph.
//
// It writes nothing: it checks by a dry run whether the webhook answers. What the caller's rights
// or network do not let it see, it reports as unseen, which means neither healthy nor broken.
//
// What this package does not do: print or repair anything. The plugin prints the diagnoses, `helm
// test` runs the plugin, and a test can run the examinations without either.
package doctor

import (
	"cmp"
	"context"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A Health is the result of an examination.
type Health string

// The healths.
const (
	Well   Health = "ok"
	Broken Health = "BROKEN"
	// Dubious works, and is worth a look.
	Dubious Health = "look"
	// Unseen could not be examined from here: it may be healthy or broken.
	Unseen Health = "unseen"
)

// A Diagnosis is one line of the report.
type Diagnosis struct {
	Health Health
	// What was examined, and what was found. The text may have several lines, and quote what others
	// wrote.
	What, Found string
}

// Options say which installation is examined, and in whose name.
type Options struct {
	// Client and Config reach the API server with the caller's credentials.
	client.Client
	Config *rest.Config
	// Namespace is where the dry runs are made, and records are looked for.
	Namespace string
	// SystemNamespace is where Epitaph runs; empty, it is that of the webhook's Service, else
	// UsualNamespace.
	SystemNamespace string
	Clock           clock.PassiveClock
	// Remedy returns what helps against an error of the API server, as the end of a sentence; nil
	// adds nothing.
	Remedy func(error) string
	// Found is called with each diagnosis as soon as it is made; nil is fine.
	Found func(Diagnosis)
}

// UsualNamespace is where the documentation installs Epitaph.
const UsualNamespace = "epitaph-system"

// A patient is an installation of Epitaph under examination.
type patient struct {
	Options
	// system is the namespace Epitaph runs in; told is set where the caller has named it.
	system string
	told   bool
	now    time.Time
	// ahead is by how much the API server's clock is ahead of ours.
	ahead time.Duration
	// webhooks are what webhookConfiguration found; off is set where there is none on purpose.
	webhooks webhooks
	off      bool
}

func (p *patient) serverTime() time.Time { return p.now.Add(p.ahead) }

// examinations are made in this order. The first finds the API server, without which there is
// nothing to examine.
var examinations = []func(context.Context, *patient) []Diagnosis{
	apiServer, definitions, webhookConfiguration, webhookCallers, webhookAnswers, ownerRights,
	leader, recorder, builtInPodGC, agents, nodeClocks, cloudAnswers,
}

// examinationLimit bounds one examination.
const examinationLimit = 15 * time.Second

// Run makes all examinations, one after the other, until ctx ends.
func Run(ctx context.Context, o Options) []Diagnosis {
	p := &patient{
		Options: o, now: o.Clock.Now(),
		system: cmp.Or(o.SystemNamespace, UsualNamespace), told: o.SystemNamespace != "",
	}
	var all []Diagnosis
	for _, examine := range examinations {
		if ctx.Err() != nil {
			break
		}
		limited, cancel := context.WithTimeout(ctx, examinationLimit)
		made := examine(limited, p)
		cancel()
		for _, d := range made {
			if o.Found != nil {
				o.Found(d)
			}
		}
		all = append(all, made...)
	}
	return all
}

func (p *patient) remedy(err error) string {
	if p.Remedy == nil {
		return ""
	}
	return p.Remedy(err)
}
