package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Azure's Instance Metadata Service, with its Scheduled Events
// (learn.microsoft.com/azure/virtual-machines/linux/scheduled-events).
const (
	azureEvents = "/metadata/scheduledevents?api-version=2020-07-01"
	azureName   = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"

	// azureFirst is how long the first question may take, which has the service begin to look for
	// events of this machine.
	azureFirst = 150 * time.Second
	// azureTime is how times of events are written.
	azureTime = "Mon, 02 Jan 2006 15:04:05 MST"
	// azureLasts is how long after its time an event may end a machine: a redeployment takes
	// minutes, and is gone from the list when it is done.
	azureLasts = time.Hour
)

// azure asks Azure's metadata service.
type azure struct {
	connection
	// self is the name of this machine, as events have it; answered says that the service has
	// answered.
	self     string
	answered bool
}

func (*azure) name() string { return "Azure" }

var azureHeader = map[string]string{"Metadata": "true"}

func (z *azure) notices(ctx context.Context) ([]Notice, error) {
	if err := z.findSelf(ctx); err != nil {
		return nil, err
	}
	timeout := askTimeout
	if !z.answered {
		timeout = azureFirst
	}
	got, err := z.get(ctx, timeout, azureEvents, azureHeader)
	switch {
	case err != nil:
		return nil, err
	case got.status == http.StatusNotFound:
		return nil, &statusError{azureEvents, got.status}
	}
	z.answered = true
	notices, err := azureNotices(got.body, z.self)
	if err != nil {
		return nil, fmt.Errorf("read the scheduled events: %w", err)
	}
	return notices, nil
}

// findSelf asks for the name of this machine: the list has events of its whole scale set.
func (z *azure) findSelf(ctx context.Context) error {
	if z.self != "" {
		return nil
	}
	got, err := z.get(ctx, askTimeout, azureName, azureHeader)
	if err == nil && strings.TrimSpace(string(got.body)) == "" {
		err = errors.New("the answer is empty")
	}
	if err != nil {
		return fmt.Errorf("ask for the machine's name: %w", err)
	}
	z.self = strings.TrimSpace(string(got.body))
	return nil
}

// An azureEvent is a scheduled one.
type azureEvent struct {
	EventID   string `json:"EventId"`
	EventType string
	// Resources are the machines that it is about.
	Resources []string
	// NotBefore is empty once the event has begun.
	NotBefore, Description, EventSource string
}

// azureKinds are the events at which a machine ends or restarts. Freeze pauses it for seconds.
var azureKinds = map[string]string{
	"Preempt": reason.EvidenceSpot, "Terminate": reason.EvidenceScaleIn,
	"Reboot": reason.EvidenceMaintenance, "Redeploy": reason.EvidenceHostFailure,
}

func azureNotices(body []byte, self string) ([]Notice, error) {
	var said struct{ Events []azureEvent }
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, err
	}
	var all []Notice
	for _, e := range said.Events {
		mine := slices.ContainsFunc(e.Resources,
			func(r string) bool { return strings.EqualFold(r, self) })
		what, ends := azureKinds[e.EventType]
		if !mine || !ends {
			continue
		}
		if what == reason.EvidenceHostFailure && e.EventSource == "User" {
			what = reason.EvidenceMaintenance // somebody has it moved to another host
		}
		n := Notice{ID: e.EventID, What: what, Detail: e.EventType, Lasts: azureLasts}
		if e.NotBefore != "" {
			begin, err := time.Parse(azureTime, e.NotBefore)
			if err != nil {
				return nil, fmt.Errorf("NotBefore of event %s: %w", e.EventID, err)
			}
			n.Due, n.Until = begin, begin.Add(azureLasts)
			n.Detail += " not before " + at(begin)
		}
		if e.EventSource != "" {
			n.Detail += ", by " + e.EventSource
		}
		if e.Description != "" {
			n.Detail += ": " + e.Description
		}
		all = append(all, n)
	}
	return all, nil
}
