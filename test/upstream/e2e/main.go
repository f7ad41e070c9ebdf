//go:build upstream

// Command e2e is the part of Kubernetes' own end-to-end tests that is about how objects come and
// go. It is what k8s.io/kubernetes/test/e2e/e2e_test.go is, with fewer packages, as a program, and
// with a line of JSON for each test.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"k8s.io/component-base/logs"
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"
	"k8s.io/kubernetes/test/e2e/framework/testfiles"
	e2etestingmanifests "k8s.io/kubernetes/test/e2e/testing-manifests"
	testfixtures "k8s.io/kubernetes/test/fixtures"

	// The suite's set-up.
	_ "k8s.io/kubernetes/test/e2e"

	// The tests.
	_ "k8s.io/kubernetes/test/e2e/apimachinery"
	_ "k8s.io/kubernetes/test/e2e/apps"
	_ "k8s.io/kubernetes/test/e2e/auth"
	_ "k8s.io/kubernetes/test/e2e/node"
	_ "k8s.io/kubernetes/test/e2e/scheduling"

	// What the framework does on a node and after a failure.
	_ "k8s.io/kubernetes/test/e2e/framework/debug/init"
	_ "k8s.io/kubernetes/test/e2e/framework/metrics/init"
	_ "k8s.io/kubernetes/test/e2e/framework/node/init"
)

// A result is how one test ended. The reader has the same fields (test/conformance).
type result struct {
	Test    string  `json:"test"`
	Serial  bool    `json:"serial,omitempty"`
	State   string  `json:"state"`
	Seconds float64 `json:"seconds"`
	Failure string  `json:"failure,omitempty"`
}

// A suite is what ginkgo takes for the test that runs it.
type suite struct{ failed bool }

func (s *suite) Fail() { s.failed = true }

func main() {
	results := flag.String("results", "", "write a line of JSON for each test to this `FILE`")
	config.CopyFlags(config.Flags, flag.CommandLine)
	framework.RegisterCommonFlags(flag.CommandLine)
	framework.RegisterClusterFlags(flag.CommandLine)
	flag.Parse()
	testfiles.AddFileSource(e2etestingmanifests.GetE2ETestingManifestsFS())
	testfiles.AddFileSource(testfixtures.GetTestFixturesFS())
	framework.AfterReadingAllFlags(&framework.TestContext)
	logs.InitLogs()
	defer logs.FlushLogs()
	gomega.RegisterFailHandler(framework.Fail)

	file, err := os.Create(*results)
	if err != nil {
		fmt.Fprintln(os.Stderr, "open the file of results (set --results):", err)
		os.Exit(2)
	}
	ginkgo.ReportAfterEach(func(r ginkgo.SpecReport) {
		line, err := json.Marshal(result{
			Test: r.FullText(), Serial: r.IsSerial, State: r.State.String(), Failure: r.FailureMessage(),
			Seconds: r.RunTime.Seconds(),
		})
		if err == nil {
			_, err = file.Write(append(line, '\n'))
		}
		if err != nil {
			ginkgo.AbortSuite("write how a test ended: " + err.Error())
		}
	})
	s := &suite{}
	of, how := framework.CreateGinkgoConfig()
	ginkgo.RunSpecs(s, "Kubernetes e2e suite", of, how)
	if err := file.Close(); err != nil || s.failed {
		os.Exit(1)
	}
}
