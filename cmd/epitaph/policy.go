package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// runPolicy answers what-if questions about the policy.
func runPolicy(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] != "test" {
		return fmt.Errorf("%w\n\nusage: epitaph policy test -f CONFIG --review REVIEW [--objects FILE]", errUsage)
	}
	flags := flag.NewFlagSet("policy test", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("f", "", "the configuration `file` (required)")
	reviewFile := flags.String("review", "", "a `file` with the AdmissionReview that the API server would send, as YAML or JSON (required)")
	objectsFile := flags.String("objects", "", "a `file` with the Nodes, Pods, Namespaces and PodDisruptionBudgets that the cluster has")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *file == "" || *reviewFile == "" || flags.NArg() > 0 {
		flags.Usage()
		return errUsage
	}
	c, err := config.Load(*file)
	if err != nil {
		return err
	}
	review, err := readReview(*reviewFile)
	if err != nil {
		return err
	}
	var cluster webhook.Snapshot
	if *objectsFile != "" {
		if cluster, err = readObjects(*objectsFile); err != nil {
			return err
		}
	}
	return webhook.WhatIf(ctx, c, review.Request, cluster, clock.RealClock{}, stdout)
}

func readReview(path string) (*admissionv1.AdmissionReview, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the review: %w", err)
	}
	review := &admissionv1.AdmissionReview{}
	if err := yaml.UnmarshalStrict(data, review); err != nil {
		return nil, fmt.Errorf("read the review %s: %w", path, err)
	}
	if review.Request == nil {
		return nil, fmt.Errorf("read the review %s: it has no request: write an AdmissionReview of admission.k8s.io/v1", path)
	}
	return review, nil
}

// readObjects reads a file of YAML documents.
func readObjects(path string) (s webhook.Snapshot, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("read the objects: %w", err)
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err == nil {
			err = addObject(&s, document)
		}
		if err != nil {
			return s, fmt.Errorf("read the objects %s: document %d: %w", path, n, err)
		}
	}
}

func addObject(s *webhook.Snapshot, document []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "Node":
		return appendObject(&s.Nodes, document)
	case "Pod":
		return appendObject(&s.Pods, document)
	case "Namespace":
		return appendObject(&s.Namespaces, document)
	case "PodDisruptionBudget":
		return appendObject(&s.Budgets, document)
	case "":
		if len(strings.TrimSpace(string(document))) == 0 {
			return nil
		}
		return errors.New("kind: is missing: write Node, Pod, Namespace or PodDisruptionBudget")
	default:
		return fmt.Errorf("kind: is %q: write Node, Pod, Namespace or PodDisruptionBudget", kind.Kind)
	}
}

func appendObject[T corev1.Node | corev1.Pod | corev1.Namespace | policyv1.PodDisruptionBudget](all *[]T, document []byte) error {
	var o T
	if err := yaml.UnmarshalStrict(document, &o); err != nil {
		return err
	}
	*all = append(*all, o)
	return nil
}
