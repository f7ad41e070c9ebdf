package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/reason"
)

// The instance metadata service of EC2, version 2
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html).
const (
	awsTokenPath = "/latest/api/token"
	awsSpot      = "/latest/meta-data/spot/instance-action"
	awsRebalance = "/latest/meta-data/events/recommendations/rebalance"
	awsEvents    = "/latest/meta-data/events/maintenance/scheduled"
	awsGroup     = "/latest/meta-data/autoscaling/target-lifecycle-state"

	// awsTokenSeconds is the longest that a token can live; it is renewed after half of that.
	awsTokenSeconds = "21600"
	awsTokenRenewal = 3 * time.Hour
	// maxToken bounds a token, which is 56 characters.
	maxToken = 1 << 10

	// awsEventTime is how the times of scheduled events are written.
	awsEventTime = "2 Jan 2006 15:04:05 MST"
	// awsWait is how long an Auto Scaling group may keep an instance waiting for its lifecycle
	// hooks (docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html).
	awsWait = 48 * time.Hour
	// awsAdvice is how long a recommendation explains why an instance goes.
	awsAdvice = 30 * time.Minute

	askTimeout = 2 * time.Second
)

// aws asks EC2's metadata service.
type aws struct {
	connection
	clock clock.PassiveClock
	token string
	drawn time.Time
}

func (*aws) name() string { return "Amazon EC2" }

// notices asks for all that may be announced. What one question brings does not depend on the
// others.
func (a *aws) notices(ctx context.Context) ([]Notice, error) {
	if err := a.authenticate(ctx); err != nil {
		return nil, err
	}
	var all []Notice
	var failed []error
	for _, q := range []struct {
		path string
		read func([]byte) ([]Notice, error)
	}{
		{awsSpot, spotNotice}, {awsRebalance, rebalanceNotice}, {awsEvents, eventNotices},
		{awsGroup, groupNotice},
	} {
		found, err := a.read(ctx, q.path, q.read)
		all, failed = append(all, found...), append(failed, err)
		if refused(err, http.StatusUnauthorized) {
			break
		}
	}
	return all, errors.Join(failed...)
}

func (a *aws) read(ctx context.Context, path string,
	read func([]byte) ([]Notice, error)) ([]Notice, error) {
	got, err := a.get(ctx, askTimeout, path, map[string]string{"X-aws-ec2-metadata-token": a.token})
	if refused(err, http.StatusUnauthorized) {
		a.token = "" // it has expired, or the instance was moved
	}
	if err != nil || got.body == nil {
		return nil, err
	}
	notices, err := read(got.body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return notices, nil
}

// authenticate draws a token, unless there is one. Version 1 of the service, which wants none, is
// never asked: where version 2 does not answer us, that has a cause which somebody should know.
func (a *aws) authenticate(ctx context.Context) error {
	if a.token != "" && a.clock.Since(a.drawn) < awsTokenRenewal {
		return nil
	}
	got, err := a.ask(ctx, askTimeout, http.MethodPut, awsTokenPath,
		map[string]string{"X-aws-ec2-metadata-token-ttl-seconds": awsTokenSeconds})
	if err == nil && got.status != http.StatusOK {
		err = &statusError{awsTokenPath, got.status}
	}
	if err != nil {
		return fmt.Errorf("draw a token: %w", err)
	}
	token := strings.TrimSpace(string(got.body))
	if token == "" || len(token) > maxToken || strings.IndexFunc(token, notInToken) >= 0 {
		return errors.New("draw a token: the answer is none")
	}
	a.token, a.drawn = token, a.clock.Now()
	return nil
}

// notInToken reports whether r may not stand in the value of a header.
func notInToken(r rune) bool { return r <= ' ' || r > '~' }

var errNoTime = errors.New("the notice has no time")

func spotNotice(body []byte) ([]Notice, error) {
	var said struct {
		Action string
		Time   time.Time
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, err
	}
	if said.Time.IsZero() {
		return nil, errNoTime
	}
	return []Notice{{ID: "spot", What: reason.EvidenceSpot,
		Detail: said.Action + " at " + at(said.Time), Due: said.Time,
		Until: said.Time.Add(late)}}, nil
}

func rebalanceNotice(body []byte) ([]Notice, error) {
	var said struct{ NoticeTime time.Time }
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, err
	}
	if said.NoticeTime.IsZero() {
		return nil, errNoTime
	}
	return []Notice{{ID: "rebalance", What: reason.EvidenceRebalance,
		Detail: "its replacement was recommended at " + at(said.NoticeTime),
		Until:  said.NoticeTime.Add(awsAdvice)}}, nil
}

// An awsEvent is a scheduled one.
type awsEvent struct {
	Code, Description, State string
	EventID                  string `json:"EventId"`
	NotBefore, NotAfter      string
}

// awsEventKinds are the events at which an instance ends or restarts. A stop and a retirement are
// announced when the host fails (docs.aws.amazon.com/AWSEC2/latest/UserGuide/
// monitoring-instances-status-check_sched.html).
var awsEventKinds = map[string]string{
	"instance-stop": reason.EvidenceHostFailure, "instance-retirement": reason.EvidenceHostFailure,
	"instance-reboot": reason.EvidenceMaintenance, "system-reboot": reason.EvidenceMaintenance,
	"system-maintenance": reason.EvidenceMaintenance,
}

func eventNotices(body []byte) ([]Notice, error) {
	var said []awsEvent
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, err
	}
	var all []Notice
	for _, e := range said {
		what, known := awsEventKinds[e.Code]
		if !known || e.State != "active" {
			continue
		}
		begin, err := time.Parse(awsEventTime, e.NotBefore)
		if err != nil {
			return nil, fmt.Errorf("NotBefore of event %s: %w", e.EventID, err)
		}
		end, err := time.Parse(awsEventTime, e.NotAfter)
		if err != nil || end.Before(begin) {
			end = begin.Add(24 * time.Hour)
		}
		all = append(all, Notice{ID: "event " + e.EventID, What: what,
			Detail: e.Code + " not before " + at(begin) + ": " + e.Description,
			Due:    begin, Until: end.Add(late)})
	}
	return all, nil
}

// groupNotice reads where the Auto Scaling group wants the instance to go.
func groupNotice(body []byte) ([]Notice, error) {
	switch strings.TrimSpace(string(body)) {
	case "Terminated", "Warmed:Terminated":
		return []Notice{{ID: "group", What: reason.EvidenceScaleIn,
			Detail: "its Auto Scaling group terminates it", Lasts: awsWait}}, nil
	default:
		return nil, nil
	}
}
