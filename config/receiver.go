package config

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// The formats in which receivers are told.
const (
	// CloudEvents is one event in each request, in structured mode.
	CloudEvents = "CloudEvents"
	// OTLP is logs of OpenTelemetry, in protobuf.
	OTLP = "OTLP"
	// Template is JSON that a template writes, as for the incoming webhooks of chats.
	Template = "Template"
)

// A Receiver is a system that is told by HTTP what is archived. Its folder in
// archive.receiversDir has the files url and, as far as it wants them, token, headers, ca.crt,
// tls.crt and tls.key; they are read for each request.
type Receiver struct {
	// Name is that of its folder, and that under which the archive keeps how far it has got: with
	// another name it is a new one.
	Name string `json:"name" validate:"required,max=40,dnslabel"`
	// Format is CloudEvents, OTLP or Template.
	Format string `json:"format" validate:"required,oneof=CloudEvents OTLP Template"`
	// Template writes the JSON of a request, as text/template does; empty is one for Slack. Where
	// it writes nothing, nothing is sent.
	Template string `json:"template,omitempty" validate:"max=16384"`
	// Since is a time, as 2026-01-31T00:00:00Z: what left from then on is sent. Without it, a new
	// receiver is told what is archived from now on.
	Since *metav1.Time `json:"since,omitempty"`
	// Kinds of records that are sent: Pod, Node and Owner. All if there are none.
	Kinds []string `json:"kinds,omitempty" validate:"dive,oneof=Pod Node Owner"`
	// Codes that are sent. All if there are none.
	Codes []reason.Code `json:"codes,omitempty" validate:"dive,anycode"`
	// Classes of codes that are sent. All if there are none.
	Classes []string `json:"classes,omitempty" validate:"dive,oneof=disruption unexplained routine"`
	// Namespaces of pods and owners that are sent. All if there are none, and nodes.
	Namespaces []string `json:"namespaces,omitempty" validate:"max=1000,dive,dnslabel"`
	// Timeout bounds a request; 0 is 10s.
	Timeout metav1.Duration `json:"timeout,omitempty" validate:"omitempty,mindur=1s,maxdur=2m"`
	// PlainHTTP permits a URL with http.
	PlainHTTP bool `json:"plainHTTP,omitempty"`
}

// Patience is how long a request may take.
func (r Receiver) Patience() time.Duration {
	if r.Timeout.Duration == 0 {
		return 10 * time.Second
	}
	return r.Timeout.Duration
}

// wrongs checks that receivers can be told apart.
func (a Archive) wrongs() []wrong {
	var all []wrong
	seen := map[string]int{}
	for n, r := range a.Receivers {
		path := fmt.Sprintf("archive.receivers[%d]", n)
		if first, twice := seen[r.Name]; twice && r.Name != "" {
			all = append(all, wrong{path + ".name", fmt.Sprintf(
				"%q is also the name of archive.receivers[%d]: give each receiver a name of its own",
				r.Name, first)})
			continue
		}
		seen[r.Name] = n
		if r.Template != "" && r.Format != Template {
			all = append(all, wrong{path + ".template", fmt.Sprintf(
				"is of no use with the format %s: remove it, or write format: %s", r.Format, Template)})
		}
	}
	return all
}
