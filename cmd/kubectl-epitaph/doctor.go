package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// A health is what an examination comes to.
type health string

const (
	well   health = "ok"
	broken health = "BROKEN"
	// dubious works, and is worth a look.
	dubious health = "look"
	// unseen could not be examined from here. It is no illness, and no health either.
	unseen health = "unseen"
)

// A diagnosis is one line of the report.
type diagnosis struct {
	health health
	// what was examined, and what was found.
	what, found string
}

// A patient is an installation of Epitaph.
type patient struct {
	*cluster
	// system is the namespace Epitaph runs in; told is set where the user has named it.
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

// examinations are made in this order. The first finds the API server, without which there is nothing to examine.
var examinations = []func(context.Context, *patient) []diagnosis{
	apiServer, definitions, webhookConfiguration, webhookCallers, webhookAnswers, leader, recorder, builtInPodGC, agents, nodeClocks,
}

// examinationLimit bounds one examination.
const examinationLimit = 15 * time.Second

// usualNamespace is where the documentation installs Epitaph.
const usualNamespace = "epitaph-system"

var errBroken = errors.New("something is broken: see above")

func (p *plugin) doctor() *cobra.Command {
	system := ""
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine an installation",
		Long: `Examine an installation. It writes nothing: whether the webhook answers is asked with a dry run. What your rights or your
place do not let it see is reported as unseen.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.examine(c.Context(), system) },
	}
	c.Flags().StringVar(&system, "system-namespace", "", "the `namespace` that Epitaph runs in; by default that of the webhook's Service, else "+usualNamespace)
	return c
}

func (p *plugin) examine(ctx context.Context, system string) error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	ill := false
	patient := &patient{cluster: c, system: cmp.Or(system, usualNamespace), told: system != "", now: p.clock.Now()}
	for _, examination := range examinations {
		limited, cancel := context.WithTimeout(ctx, examinationLimit)
		all := examination(limited, patient)
		cancel()
		for _, d := range all {
			ill = ill || d.health == broken
			fmt.Fprintf(p.out, "%s  %-22s %s\n", p.colours.paint(d.shade(), fmt.Sprintf("%-6s", d.health)), d.what, cleanLines(d.found))
		}
	}
	if ill {
		return errBroken
	}
	return ctx.Err()
}

func (d diagnosis) shade() string {
	switch d.health {
	case well:
		return green
	case broken:
		return red
	default:
		return yellow
	}
}
