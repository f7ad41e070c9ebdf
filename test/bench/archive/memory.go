package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// ours is Epitaph's namespace in the sandbox.
	ours = "epitaph-system"
	// writers is how many records are written at a time.
	writers = 16
	// patience is how long the archive may take to store all records.
	patience = 10 * time.Minute
)

// inProcess measures the memory of `epitaph archive`, from its start until it has stored all
// records of a cluster in PostgreSQL: half of them are there when it starts, and come in pages, the
// others come by the watch.
func inProcess(ctx context.Context, out io.Writer, records int) error {
	c, err := bench.Start(ctx, sandbox.Options{Out: out,
		Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	if err != nil {
		return err
	}
	defer c.Stop()
	db, err := server.Start(ctx, server.Options{})
	if err != nil {
		return err
	}
	defer db.Stop()
	store, err := postgres.Open(ctx, db.DSN(), clock.RealClock{})
	if err != nil {
		return err
	}
	defer store.Close()
	if err := write(ctx, c, 0, records/2); err != nil {
		return err
	}
	process, err := launch(ctx, out, c, db.DSN())
	if err != nil {
		return err
	}
	if err := write(ctx, c, records/2, records); err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, time.Second, patience, true,
		func(ctx context.Context) (bool, error) {
			left, err := missing(ctx, store, records)
			return left <= 0, err
		})
	if err != nil {
		return fmt.Errorf("wait until all is archived: %w", err)
	}
	used, err := bench.MemoryOf(process.PID())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "epitaph archive, %d records: %.1f MB, at most %.1f MB\n", records, used.Now, used.Peak)
	fmt.Fprintf(out, "RESULT archive_rss_mb %.1f\n", used.Peak)
	return nil
}

// write writes the records as the recorder does.
func write(ctx context.Context, c *bench.Cluster, from, to int) error {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("register the records: %w", err)
	}
	config := c.RESTConfig()
	config.QPS, config.Burst = 5000, 5000
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for n := from; n < to; n++ {
		group.Go(func() error {
			o := obituary(n)
			o.Namespace, o.UID, o.ResourceVersion = bench.Namespace, "", ""
			if err := api.Create(ctx, o); err != nil {
				return fmt.Errorf("write record %d: %w", n, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// launch starts the archive with exactly its own rights.
func launch(ctx context.Context, out io.Writer, c *bench.Cluster,
	dsn string) (*sandbox.Process, error) {
	dir := filepath.Dir(c.Kubeconfig)
	program := filepath.Join(dir, "epitaph-archive")
	if err := binaries.Product(ctx, out, "epitaph", program); err != nil {
		return nil, err
	}
	k := config.Default()
	k.Namespace, k.Metrics.Secure, k.LeaderElection.Enabled = ours, false, false
	k.Archive.Enabled, k.Archive.Cluster = true, "bench"
	k.Archive.DSNFile = filepath.Join(dir, "dsn")
	k.Retention.Pods.MaxPerNamespace = 1_000_000 // they stay
	for _, address := range []*string{&k.Archive.HealthAddress, &k.Archive.MetricsAddress} {
		free, err := sandbox.FreeAddress()
		if err != nil {
			return nil, err
		}
		*address = free
	}
	settings, err := yaml.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	file, kubeconfig := filepath.Join(dir, "archive.yaml"), filepath.Join(dir, "archive.kubeconfig")
	for name, content := range map[string][]byte{file: settings, k.Archive.DSNFile: []byte(dsn)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return nil, fmt.Errorf("write a file of the archive: %w", err)
		}
	}
	token, err := c.Client.CoreV1().ServiceAccounts(ours).CreateToken(ctx, "epitaph-archive",
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("make a token for the archive: %w", err)
	}
	if err := c.WriteKubeconfig(kubeconfig, token.Status.Token); err != nil {
		return nil, err
	}
	return c.Launch("epitaph-archive-"+strconv.Itoa(os.Getpid()), program, "archive", "--config",
		file, "--kubeconfig", kubeconfig)
}
