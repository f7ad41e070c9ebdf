package policytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// A Suite is a test file that was read.
type Suite struct {
	Name    string
	Config  config.Config
	Objects Objects
	// Now is when its trials take place; the zero value is the present.
	Now    time.Time
	Trials []Trial
}

// A Trial is a case that was read.
type Trial struct {
	Name     string
	Requests []*admissionv1.AdmissionRequest
	// Objects are what its cluster has besides those of the suite; they go before these.
	Objects Objects
	Now     time.Time
	Want    Want
}

// ErrFailed says that something came that was not expected.
var ErrFailed = errors.New("not everything came as expected")

// at is a clock that stands still.
type at time.Time

func (a at) Now() time.Time                  { return time.Time(a) }
func (a at) Since(t time.Time) time.Duration { return time.Time(a).Sub(t) }

// Run tries every case, prints a line for each and what was wrong with it, and returns [ErrFailed]
// where something was.
func (s *Suite) Run(ctx context.Context, clk clock.PassiveClock, out io.Writer) error {
	failed := 0
	for _, t := range s.Trials {
		wrong, err := s.try(ctx, t, clk)
		if err != nil {
			return fmt.Errorf("%s: case %q: %w", s.Name, t.Name, err)
		}
		verdict := "PASS"
		if len(wrong) > 0 {
			verdict = "FAIL"
			failed++
		}
		if _, err := fmt.Fprintf(out, "%s  %s: %s\n%s", verdict, s.Name, t.Name,
			strings.Join(wrong, "")); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
	}
	if _, err := fmt.Fprintf(out, "%s: %d passed, %d failed\n", s.Name, len(s.Trials)-failed,
		failed); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	if failed > 0 {
		return ErrFailed
	}
	return nil
}

// try returns what did not come as expected, a line each.
func (s *Suite) try(ctx context.Context, t Trial,
	clk clock.PassiveClock) (wrong []string, err error) {
	for _, then := range []time.Time{s.Now, t.Now} {
		if !then.IsZero() {
			clk = at(then)
		}
	}
	cluster, err := append(t.Objects[:len(t.Objects):len(t.Objects)],
		s.Objects...).supposition(s.Config, clk)
	if err != nil {
		return nil, err
	}
	for n, req := range t.Requests {
		got, err := webhook.WhatIf(ctx, s.Config, req, cluster, clk)
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", n+1, err)
		}
		for _, line := range t.Want.differs(got) {
			if len(t.Requests) > 1 {
				line = fmt.Sprintf("request %d: %s", n+1, line)
			}
			wrong = append(wrong, "      "+line+"\n")
		}
	}
	return wrong, nil
}

// differs tells in which fields a decision is not what is wanted.
func (w Want) differs(got webhook.Decision) (lines []string) {
	differ := func(field string, got, want any, same bool) {
		if !same {
			lines = append(lines, fmt.Sprintf("%s: is %q, want %q", field, got, want))
		}
	}
	decision := decisionOf(got)
	differ("decision", decision, w.Decision, w.Decision == "" || decision == w.Decision)
	differ("rule", got.Rule, w.Rule, w.Rule == "" || got.Rule == w.Rule)
	differ("code", got.Reason.Code, w.Code, w.Code == "" || got.Reason.Code == w.Code)
	differ("reason", got.Reason.Text, w.Reason.String(), w.Reason.Matches(string(got.Reason.Text)))
	differ("by", got.Reason.By, w.By.String(), w.By.Matches(got.Reason.By))
	differ("message", got.Message, w.Message.String(), w.Message.Matches(got.Message))
	return lines
}

func decisionOf(d webhook.Decision) string {
	if d.Allowed {
		return allowed
	}
	return denied
}

// Ask prints what the webhook would decide about each request.
func Ask(ctx context.Context, c config.Config, requests []*admissionv1.AdmissionRequest,
	all Objects, clk clock.PassiveClock, out io.Writer) error {
	cluster, err := all.supposition(c, clk)
	if err != nil {
		return err
	}
	for n, req := range requests {
		got, err := webhook.WhatIf(ctx, c, req, cluster, clk)
		if err != nil {
			return err
		}
		if n > 0 {
			if _, err := fmt.Fprintln(out); err != nil {
				return fmt.Errorf("print the decision: %w", err)
			}
		}
		if err := explain(out, got); err != nil {
			return err
		}
	}
	return nil
}

// explain prints a decision, a line a fact.
func explain(out io.Writer, d webhook.Decision) error {
	lines := [][2]string{
		{"decision", decisionOf(d)},
		{"rule", d.Rule},
		{"code", string(d.Reason.Code)},
		{"reason", string(d.Reason.Text)},
		{"by", d.Reason.By},
		{"message", d.Message},
	}
	for _, l := range lines {
		if l[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-9s %s\n", l[0], l[1]); err != nil {
			return fmt.Errorf("print the decision: %w", err)
		}
	}
	return nil
}
