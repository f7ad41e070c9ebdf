package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit/definitions"
	"github.com/epitaph-k8s/epitaph/charts"
)

// applyLimit is how long the API server may take to serve what was applied.
const applyLimit = time.Minute

// crdsCommand is about the definitions of the records.
func crdsCommand() *cobra.Command {
	return group(&cobra.Command{Use: "crds", Short: "Look after the definitions of the records"},
		crdsApplyCommand())
}

func crdsApplyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "apply",
		Short: "Have the API server know the records as this version does",
		Long: `Have the API server know the records as this version does: apply its definitions,
server-side and in Helm's name, and wait until they are served. The chart does so before an upgrade
where crds.upgrade is set.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("find the cluster: %w", err)
			}
			api, err := client.New(config, client.Options{Scheme: runtime.NewScheme()})
			if err != nil {
				return fmt.Errorf("make a client: %w", err)
			}
			ctx, cancel := context.WithTimeout(c.Context(), applyLimit)
			defer cancel()
			return definitions.Applied{Client: api, Files: charts.Definitions,
				Clock: clock.RealClock{}, Tell: func(name string) {
					fmt.Fprintln(c.OutOrStdout(), name, "is served")
				}}.Apply(ctx)
		},
	}
}
