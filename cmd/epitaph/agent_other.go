//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "agent",
		Short:              "Run on a node (Linux only) and have its kernel speak to the listeners",
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("the agent speaks to the kernel of Linux and runs nowhere else")
		},
	}
}
