// Command epitaph is everything of Epitaph but the kubectl plugin.
//
//	epitaph manager --config FILE                webhook, garbage collector, netconsole listener
//	epitaph archive --config FILE                store what is recorded, for years
//	epitaph archive list | count --config FILE   read it
//	epitaph agent [--config FILE]                on a node: have its kernel speak to the listeners
//	epitaph policy test TEST...                  whether the webhook decides as the tests expect
//	epitaph policy test -f FILE --review FILE    what the webhook would decide
//	epitaph version                              the version of this binary
//
// It exits with 0, 1 (error) or 2 (wrong usage).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the build: -ldflags "-X main.version=v1.2.3".
var version = "devel"

// The exit codes beside 0.
const (
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "epitaph:", err)
		os.Exit(exitCode(err))
	}
}

var errUsage = errors.New("usage")

func exitCode(err error) int {
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitError
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := command()
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// command is the root of all commands.
func command() *cobra.Command {
	root := group(&cobra.Command{
		Use:   "epitaph",
		Short: "Make sure that every Pod and every Node leaves with a reason",
		Long: `Make sure that every Pod and every Node that leaves a cluster leaves with a reason that a person can read.

Exit codes: 0; 1 an error; 2 wrong usage.`,
		Version: version, SilenceErrors: true, SilenceUsage: true,
	}, managerCommand(), archiveCommand(), agentCommand(), policyCommand(), crdsCommand(),
		versionCommand())
	root.SetFlagErrorFunc(usage)
	// cobra's own would take -v, which is the log level below
	root.Flags().Bool("version", false, "print the version")
	return root
}

// group makes a command that only has subcommands.
func group(c *cobra.Command, below ...*cobra.Command) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(c, errors.New("name a command"))
		}
		err := fmt.Errorf("there is no command %q", args[0])
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			err = fmt.Errorf("%w: did you mean %s?", err, near[0])
		}
		return usage(c, err)
	}
	c.Args = cobra.ArbitraryArgs // cobra would refuse them in words of its own
	c.SuggestionsMinimumDistance = cobraDistance
	c.AddCommand(below...)
	return c
}

// cobraDistance is how many letters a suggested command may differ in. It is cobra's default, which
// cobra sets too late for us.
const cobraDistance = 2

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "epitaph", version)
			return err
		},
	}
}

// noArgs refuses arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(c, fmt.Errorf("it takes no arguments, and was given %q", args[0]))
	}
	return nil
}

// usage is the error of a command that was called the wrong way. It names the help.
func usage(c *cobra.Command, err error) error {
	return fmt.Errorf("%w: %w (%q shows how)", errUsage, err, c.CommandPath()+" --help")
}
