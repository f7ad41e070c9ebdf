package main

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The tests run as what runs them elsewhere, too: a program, with every right. A person would be
// asked for reasons.
const (
	runnerNamespace = "ci"
	runner          = "runner"
)

// inSandbox starts a sandbox, and calls back with a kubeconfig of the runner's.
func inSandbox(ctx context.Context, o sandbox.Options, do func(kubeconfig string) error) error {
	s, err := sandbox.Start(ctx, o)
	if err != nil {
		return err
	}
	defer s.Stop()
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: runnerNamespace}}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the namespace %s: %w", runnerNamespace, err)
	}
	kubeconfig, err := s.ServiceAccount(ctx, runnerNamespace, runner, "cluster-admin")
	if err != nil {
		return err
	}
	p := &programs{client: client, marked: map[string]bool{}, ended: map[types.UID]bool{}}
	running, end := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { p.run(running) })
	defer background.Wait()
	defer end()
	return do(kubeconfig)
}
