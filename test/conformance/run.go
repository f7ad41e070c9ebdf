package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// batch is how many tests one process runs: each process first waits for the nodes.
	batch = 4
	// batchLimit ends a process in which a test hangs.
	batchLimit = 90 * time.Minute
	// endGrace is what an interrupted process has to clean up after its tests.
	endGrace = time.Minute
)

// A test is one of upstream's, and how it ended. The fields are those that test/upstream/e2e
// writes.
type test struct {
	Name    string  `json:"test"`
	Serial  bool    `json:"serial"`
	State   string  `json:"state"`
	Seconds float64 `json:"seconds"`
	Failure string  `json:"failure"`
}

func (t test) passed() bool { return t.State == "passed" }

// A suite runs upstream's tests.
type suite struct {
	// program is test/upstream/e2e, built.
	program string
	// dir takes a log and a file of results for each process.
	dir      string
	parallel int
	runs     atomic.Int64
}

// list names all the tests that the program has.
func (s *suite) list(ctx context.Context) ([]test, error) {
	file := filepath.Join(s.dir, "tests.jsonl")
	cmd := exec.CommandContext(ctx, s.program, "--ginkgo.dry-run", "--ginkgo.skip=^$", "--results="+file)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("list upstream's tests: %w\n%s", err, last(out, 2000))
	}
	return read(file)
}

// run runs the tests in the cluster of this kubeconfig, those that need it to themselves last, and
// returns how each ended.
func (s *suite) run(ctx context.Context, kubeconfig string, tests []test) (map[string]test, error) {
	serial := func(t test) bool { return t.Serial }
	together := slices.DeleteFunc(slices.Clone(tests), serial)
	alone := slices.DeleteFunc(slices.Clone(tests), func(t test) bool { return !serial(t) })
	ended := map[string]test{}
	for _, part := range []struct {
		tests    []test
		parallel int
	}{{together, s.parallel}, {alone, 1}} {
		var batches [][]test
		for b := range slices.Chunk(part.tests, batch) {
			batches = append(batches, b)
		}
		results := make([][]test, len(batches))
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(part.parallel)
		for i, b := range batches {
			files := filepath.Join(s.dir, strconv.FormatInt(s.runs.Add(1), 10))
			group.Go(func() (err error) {
				results[i], err = s.runBatch(ctx, kubeconfig, files, b)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		for _, t := range slices.Concat(results...) {
			ended[t.Name] = t
		}
	}
	return ended, nil
}

// runBatch returns the results of one process. It exits with an error where a test failed, which is
// no error here, nor is it that one has no result.
func (s *suite) runBatch(ctx context.Context, kubeconfig, files string, tests []test) ([]test, error) {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = regexp.QuoteMeta(t.Name)
	}
	log, err := os.Create(files + ".log")
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(ctx, batchLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, "--kubeconfig="+kubeconfig, "--provider=skeleton",
		"--results="+files+".jsonl", "--ginkgo.focus=(?:"+strings.Join(names, "|")+")$",
		"--ginkgo.timeout="+batchLimit.String(), "--ginkgo.no-color", "--ginkgo.v",
		"--dump-logs-on-failure=false", "--minStartupPods=0", "--allowed-not-ready-nodes=-1")
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endGrace
	err = cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return nil, fmt.Errorf("run upstream's tests: %w", err)
	}
	results, err := read(files + ".jsonl")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return slices.DeleteFunc(results, func(t test) bool { return t.State == "skipped" && t.Failure == "" }), err
}

// read reads what test/upstream/e2e has written.
func read(file string) ([]test, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the results: %w", err)
	}
	var all []test
	for line := range bytes.Lines(content) {
		var t test
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("read the results in %s: %w", file, err)
		}
		all = append(all, t)
	}
	return all, nil
}

// last is the end of what a program said.
func last(said []byte, n int) []byte { return said[max(0, len(said)-n):] }
