package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/webhook/policytest"
)

// policyFlags are how `epitaph policy test` was called.
type policyFlags struct {
	file             string
	reviews, objects []string
}

// policyCommand answers what-if questions about the policy.
func policyCommand() *cobra.Command {
	return group(&cobra.Command{Use: "policy", Short: "Ask what the webhook would decide"},
		policyTestCommand())
}

func policyTestCommand() *cobra.Command {
	f := policyFlags{}
	c := &cobra.Command{
		Use: `test TEST...
  epitaph policy test -f CONFIG --review REVIEW [--review …] [--objects FILE …]`,
		Short: "Tell what the webhook would decide, or whether it would decide as tests expect",
		RunE: func(c *cobra.Command, tests []string) error {
			if err := f.check(tests); err != nil {
				return usage(c, err)
			}
			if len(tests) > 0 {
				return testPolicy(c.Context(), tests, c.OutOrStdout())
			}
			return askPolicy(c.Context(), f, c.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.StringVarP(&f.file, "config", "f", "", "the configuration `file`, for --review")
	flags.StringArrayVar(&f.reviews, "review", nil,
		"a `file` with the AdmissionReviews that the API server would send, as YAML or JSON; may be repeated")
	flags.StringArrayVar(&f.objects, "objects", nil,
		"a `file` with what the cluster has, as kubectl get -o yaml prints it: objects of any kind; may be repeated")
	return c
}

// check refuses flags that are missing or do not go together.
func (f policyFlags) check(tests []string) error {
	switch {
	case len(tests) > 0 && (f.file != "" || len(f.reviews)+len(f.objects) > 0):
		return errors.New(
			"a test names its configuration, reviews and objects itself: leave out -f, --review and --objects")
	case len(tests) > 0:
		return nil
	case f.file == "" && len(f.reviews)+len(f.objects) == 0:
		return errors.New(
			"name the files of tests, or a configuration with -f and a request with --review")
	case f.file == "":
		return errors.New("-f is missing: name the configuration file")
	case len(f.reviews) == 0:
		return errors.New(
			"--review is missing: name a file with the request that the API server would send")
	}
	return nil
}

// testPolicy runs all test files. It fails if a decision is not the expected one.
func testPolicy(ctx context.Context, paths []string, stdout io.Writer) error {
	var failed error
	for _, path := range paths {
		suite, err := policytest.Read(path)
		if err != nil {
			return err
		}
		switch err := suite.Run(ctx, clock.RealClock{}, stdout); {
		case errors.Is(err, policytest.ErrFailed):
			failed = err
		case err != nil:
			return err
		}
	}
	return failed
}

// askPolicy prints what would be decided.
func askPolicy(ctx context.Context, f policyFlags, stdout io.Writer) error {
	c, err := config.Load(f.file)
	if err != nil {
		return err
	}
	var requests []*admissionv1.AdmissionRequest
	for _, path := range f.reviews {
		some, err := policytest.ReadReviews(path)
		if err != nil {
			return err
		}
		requests = append(requests, some...)
	}
	var cluster policytest.Objects
	for _, path := range f.objects {
		some, err := policytest.ReadObjects(path)
		if err != nil {
			return err
		}
		cluster = append(cluster, some...)
	}
	return policytest.Ask(ctx, c, requests, cluster, clock.RealClock{}, stdout)
}
