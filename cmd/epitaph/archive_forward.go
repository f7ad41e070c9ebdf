package main

import (
	"fmt"
	"path/filepath"

	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/forward/cloudevent"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
	"github.com/epitaph-k8s/epitaph/archive/forward/message"
	"github.com/epitaph-k8s/epitaph/archive/forward/otlplog"
	"github.com/epitaph-k8s/epitaph/config"
)

// receiversOf makes the receivers of the configuration.
func receiversOf(c config.Archive, clk clock.PassiveClock) ([]forward.Receiver, error) {
	all := make([]forward.Receiver, 0, len(c.Receivers))
	for n, r := range c.Receivers {
		sender, err := senderOf(r, &endpoint.Endpoint{Dir: filepath.Join(c.ReceiversDir, r.Name),
			Timeout: r.Patience(), PlainHTTP: r.PlainHTTP, Clock: clk}, clk)
		if err != nil {
			return nil, fmt.Errorf("archive.receivers[%d].template: %w", n, err)
		}
		f := forward.Filter{Kinds: r.Kinds, Classes: r.Classes, Namespaces: r.Namespaces}
		for _, code := range r.Codes {
			f.Codes = append(f.Codes, string(code))
		}
		if r.Since != nil {
			f.Since = r.Since.Time
		}
		all = append(all, forward.Receiver{Name: r.Name, Filter: f, Sender: sender})
	}
	return all, nil
}

func senderOf(r config.Receiver, to *endpoint.Endpoint, clk clock.PassiveClock) (forward.Sender,
	error) {
	switch r.Format {
	case config.OTLP:
		return otlplog.Sender{Endpoint: to, Clock: clk}, nil
	case config.Template:
		return message.New(to, r.Template)
	default: // the configuration is validated: there is no other
		return cloudevent.Sender{Endpoint: to}, nil
	}
}
