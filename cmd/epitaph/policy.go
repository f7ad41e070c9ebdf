package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"k8s.io/utils/clock"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/webhook/policytest"
)

const policyUsage = `usage: epitaph policy test TEST...
       epitaph policy test -f CONFIG --review REVIEW [--review …] [--objects FILE …]`

// runPolicy answers what-if questions about the policy.
func runPolicy(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] != "test" {
		return fmt.Errorf("%w\n\n%s", errUsage, policyUsage)
	}
	flags := flag.NewFlagSet("policy test", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var reviews, objects files
	file := flags.String("f", "", "the configuration `file`, for --review")
	flags.Var(&reviews, "review", "a `file` with the AdmissionReviews that the API server would send, as YAML or JSON")
	flags.Var(&objects, "objects", "a `file` with what the cluster has, as kubectl get -o yaml prints it: objects of any kind")
	flags.Usage = func() {
		_, _ = fmt.Fprintln(stderr, policyUsage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch tests := flags.NArg() > 0; {
	case tests && *file == "" && len(reviews)+len(objects) == 0:
		return testPolicy(ctx, flags.Args(), stdout)
	case !tests && *file != "" && len(reviews) > 0:
		return askPolicy(ctx, *file, reviews, objects, stdout)
	default:
		flags.Usage()
		return errUsage
	}
}

// files are those that a flag names which may be given several times.
type files []string

// String is what the flag says that it is.
func (f *files) String() string { return fmt.Sprint(*f) }

// Set adds a file.
func (f *files) Set(name string) error {
	*f = append(*f, name)
	return nil
}

// testPolicy tries all files, and ends with an error where something came that was not expected.
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
func askPolicy(ctx context.Context, file string, reviews, objects []string, stdout io.Writer) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	var requests []*admissionv1.AdmissionRequest
	for _, path := range reviews {
		some, err := policytest.ReadReviews(path)
		if err != nil {
			return err
		}
		requests = append(requests, some...)
	}
	var cluster policytest.Objects
	for _, path := range objects {
		some, err := policytest.ReadObjects(path)
		if err != nil {
			return err
		}
		cluster = append(cluster, some...)
	}
	return policytest.Ask(ctx, c, requests, cluster, clock.RealClock{}, stdout)
}
