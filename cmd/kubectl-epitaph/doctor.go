package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/doctor"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

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
	c.Flags().StringVar(&system, "system-namespace", "",
		"the `namespace` that Epitaph runs in; by default that of the webhook's Service, else "+
			doctor.UsualNamespace)
	return c
}

func (p *plugin) examine(ctx context.Context, system string) error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	all := doctor.Run(ctx, doctor.Options{
		Client: c, Config: c.Config, Namespace: c.Namespace, SystemNamespace: system,
		Clock: p.clock, Remedy: remedy, Found: p.printDiagnosis,
	})
	if slices.ContainsFunc(all,
		func(d doctor.Diagnosis) bool { return d.Health == doctor.Broken }) {
		return errBroken
	}
	return ctx.Err()
}

func (p *plugin) printDiagnosis(d doctor.Diagnosis) {
	health := p.colours.Paint(shadeOfHealth(d.Health), fmt.Sprintf("%-6s", d.Health))
	fmt.Fprintf(p.out, "%s  %-22s %s\n", health, d.What, terminal.CleanLines(d.Found))
}

func shadeOfHealth(h doctor.Health) string {
	switch h {
	case doctor.Well:
		return terminal.Green
	case doctor.Broken:
		return terminal.Red
	default:
		return terminal.Yellow
	}
}
