package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// A plugin is what all commands share.
type plugin struct {
	out, errOut io.Writer
	clock       clock.Clock
	colours     terminal.Colours
	// zone is the reader's; nil for UTC alone.
	zone *time.Location

	flags cluster.Flags
}

func (p *plugin) connect() (*cluster.Cluster, error) {
	c, err := p.flags.Connect("kubectl-epitaph/" + version)
	if err == nil {
		c.Note = func(what string) { fmt.Fprintln(p.errOut, terminal.Clean(what)) }
	}
	return c, err
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
		Args:              cobra.ArbitraryArgs,
		RunE:              unknownOrHelp,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl epitaph"},
	}
	p.flags.Bind(root.PersistentFlags())
	p.flags.Near = nearest
	for _, make := range []func() *cobra.Command{p.why, p.list, p.watch, p.delete, p.drain,
		p.panics, p.history, p.audit, p.doctor} {
		root.AddCommand(strict(make()))
	}
	root.AddCommand(options(root))
	p.completeFlags(root)
	root.SuggestionsMinimumDistance = suggestionDistance
	root.SetHelpFunc(withoutGlobalFlags(root, root.HelpFunc()))
	root.SetOut(p.out)
	root.SetErr(p.errOut)
	root.SetFlagErrorFunc(unknownFlag)
	return strict(root)
}

// suggestionDistance is how many letters a suggested word may differ in. It is cobra's default,
// which cobra sets too late for us.
const suggestionDistance = 2

// unknownOrHelp is what the root does if no command is named, or an unknown one.
func unknownOrHelp(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w: did you mean %s?", err, near[0])
	}
	return usage(c, err)
}

// unknownFlag is an error of usage, which names the flag that may have been meant.
func unknownFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var known []string
		c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := nearest(unknown.GetSpecifiedName(), known); near != "" {
			err = fmt.Errorf("%w: did you mean --%s?", err, near)
		}
	}
	return usage(c, err)
}

// options lists the flags that all commands have, as kubectl's command of that name does.
func options(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "options", Short: "List the flags that all commands have", Args: cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprint(c.OutOrStdout(), "These flags can be passed to any command:\n\n"+
				root.PersistentFlags().FlagUsages())
		},
	}
}

// withoutGlobalFlags keeps the flags that all commands have out of their help. A shell still
// completes them.
func withoutGlobalFlags(root *cobra.Command, help func(*cobra.Command,
	[]string)) func(*cobra.Command, []string) {
	hide := func(hidden bool) {
		root.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = hidden })
	}
	return func(c *cobra.Command, args []string) {
		hide(true)
		defer hide(false)
		help(c, args)
		fmt.Fprintln(c.OutOrStdout(),
			"\nUse \"kubectl epitaph options\" for the flags that all commands have, such as --namespace and --context.")
	}
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
