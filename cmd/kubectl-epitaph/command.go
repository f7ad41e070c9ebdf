package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// A plugin is what all commands share.
type plugin struct {
	out, errOut io.Writer
	clock       clock.Clock
	colours     terminal.Colours

	flags cluster.Flags
}

func (p *plugin) connect() (*cluster.Cluster, error) {
	return p.flags.Connect("kubectl-epitaph/" + version)
}

// command is the root of all commands.
func (p *plugin) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-epitaph",
		Short: "What happened to my pod, and may I run it again?",
		Long: `What happened to my pod, and may I run it again?

Exit codes: 0; 1 an error, or something that "doctor" found broken; 2 wrong usage; 3 nothing of that name.`,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.NoArgs,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl epitaph"},
	}
	p.flags.Bind(root.PersistentFlags())
	for _, make := range []func() *cobra.Command{p.why, p.list, p.watch, p.delete, p.panics, p.audit, p.doctor} {
		root.AddCommand(strict(make()))
	}
	root.SetOut(p.out)
	root.SetErr(p.errOut)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, err) })
	return strict(root)
}

// strict makes a command's wrong arguments an error of usage.
func strict(c *cobra.Command) *cobra.Command {
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usage(c, err)
		}
		return nil
	}
	return c
}

func usage(c *cobra.Command, err error) error {
	return fmt.Errorf("%w: %w (%q shows how)", errUsage, err, c.CommandPath()+" --help")
}
