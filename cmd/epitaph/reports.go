package main

import (
	"context"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/epitaph-k8s/epitaph/audit/reports"
	"github.com/epitaph-k8s/epitaph/config"
)

func (p parts) addReports(context.Context) error {
	if !p.config.Audit.Reports.Enabled {
		return nil
	}
	api, err := p.watching()
	if err != nil {
		return err
	}
	r, err := reports.New(reports.Options{
		Config:     p.config.Audit.Reports,
		Enforced:   p.config.Webhook.Enabled && p.config.Webhook.Mode == config.EnforceMode,
		Cache:      p.mgr.GetCache(),
		API:        api,
		Clock:      clock.RealClock{},
		Registerer: metrics.Registry,
		Log:        p.mgr.GetLogger().WithName("reports"),
	})
	if err != nil {
		return err
	}
	return p.mgr.Add(r)
}
