package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
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
	// tail is how many bytes of what the archive said an error shows.
	tail = 1000
	// patience is how long the archive may take to store all records.
	patience = 10 * time.Minute
)

// inProcess measures the memory of `epitaph archive`, from its start until it has stored all
// records of a cluster in PostgreSQL, while it is asked: half of the records are there when it
// starts, and come in pages, the others come by the watch.
func inProcess(ctx context.Context, out io.Writer, records int) error {
	ctrl.SetLogger(logr.Discard())
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
	process, ask, err := launch(ctx, out, c, db.DSN())
	if err != nil {
		return err
	}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	var answered int
	var unanswered error
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		answered, unanswered = askOn(asking, ask)
	}()
	if err := write(ctx, c, records/2, records); err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, time.Second, patience, true,
		func(ctx context.Context) (bool, error) {
			if !process.Running() {
				said, err := os.ReadFile(process.LogPath)
				return false, errors.Join(fmt.Errorf("epitaph archive ended: %s",
					said[max(0, len(said)-tail):]), err)
			}
			left, err := missing(ctx, store, records)
			return left <= 0, err
		})
	if err != nil {
		return fmt.Errorf("wait until all is archived: %w", err)
	}
	stop()
	if <-asked; answered == 0 {
		return fmt.Errorf("epitaph archive has answered nobody meanwhile: %w", unanswered)
	}
	used, err := bench.MemoryOf(process.PID())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "epitaph archive, %d records stored, %d questions answered: %.1f MB, of which %.1f MB "+
		"are the program's file; at most %.1f MB\n", records, answered, used.Now, used.Files, used.Peak)
	fmt.Fprintf(out, "RESULT archive_rss_mb %.1f\n", used.Peak)
	fmt.Fprintf(out, "RESULT archive_anon_mb %.1f\n", used.Now-used.Files)
	return nil
}

// askOn asks one question after another, the largest that there are, until ctx is done; it returns
// how many were answered, and why one was not before that.
func askOn(ctx context.Context, ask func(ctx context.Context, question string) error) (answered int,
	unanswered error) {
	for n := 0; ctx.Err() == nil; n++ {
		question := "/v1/pods?limit=500"
		if n%2 == 1 {
			question = "/v1/counts/pods?by=namespace,code,label:team"
		}
		if err := ask(ctx, question); err == nil {
			answered++
		} else if ctx.Err() == nil {
			unanswered = err
			pause(ctx)
		}
	}
	return answered, unanswered
}

// pause waits a little: the archive may not serve yet.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
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
			o.Spec.Removed = metav1.Now() // what is older than the retention would go
			o.Namespace, o.UID, o.ResourceVersion = bench.Namespace, "", ""
			if err := api.Create(ctx, o); err != nil {
				return fmt.Errorf("write record %d: %w", n, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// launch starts the archive with exactly its own rights, and returns how to ask it.
func launch(ctx context.Context, out io.Writer, c *bench.Cluster, dsn string) (*sandbox.Process,
	func(ctx context.Context, question string) error, error) {
	dir := filepath.Dir(c.Kubeconfig)
	program := filepath.Join(dir, "epitaph-archive")
	if err := binaries.Product(ctx, out, "epitaph", program); err != nil {
		return nil, nil, err
	}
	k := config.Default()
	k.Namespace, k.Metrics.Secure, k.LeaderElection.Enabled = ours, false, false
	k.Archive.Enabled, k.Archive.Serve, k.Archive.Cluster = true, true, "bench"
	k.Archive.DSNFile, k.Archive.CertDir = filepath.Join(dir, "dsn"), dir
	k.Retention.Pods.MaxPerNamespace = 100_000 // they stay
	for _, address := range []*string{&k.Archive.HealthAddress, &k.Archive.MetricsAddress,
		&k.Archive.Address} {
		free, err := sandbox.FreeAddress()
		if err != nil {
			return nil, nil, err
		}
		*address = free
	}
	settings, err := yaml.Marshal(k)
	if err != nil {
		return nil, nil, fmt.Errorf("write the configuration: %w", err)
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	file, kubeconfig := filepath.Join(dir, "archive.yaml"), filepath.Join(dir, "archive.kubeconfig")
	for name, content := range map[string][]byte{file: settings, k.Archive.DSNFile: []byte(dsn),
		filepath.Join(dir, "tls.crt"): certificate, filepath.Join(dir, "tls.key"): key} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return nil, nil, fmt.Errorf("write a file of the archive: %w", err)
		}
	}
	if err := letAuthenticate(ctx, c); err != nil {
		return nil, nil, err
	}
	token, err := c.Client.CoreV1().ServiceAccounts(ours).CreateToken(ctx, "epitaph-archive",
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("make a token for the archive: %w", err)
	}
	if err := c.WriteKubeconfig(kubeconfig, token.Status.Token); err != nil {
		return nil, nil, err
	}
	process, err := c.Launch("epitaph-archive", program, "archive", "--config", file, "--kubeconfig",
		kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	ask, err := asker(c, k.Archive.Address, certificate)
	return process, ask, err
}

// letAuthenticate lets the archive read which authority the cluster's certificates have, as the
// chart does.
func letAuthenticate(ctx context.Context, c *bench.Cluster) error {
	_, err := c.Client.RbacV1().RoleBindings(metav1.NamespaceSystem).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "epitaph-archive"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role",
			Name: "extension-apiserver-authentication-reader"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ours,
			Name: "epitaph-archive"}}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("let the archive authenticate: %w", err)
	}
	return nil
}

// asker returns what asks the archive, with the certificate of the cluster's administrator, and
// reads the answer.
func asker(c *bench.Cluster, address string, authority []byte) (func(context.Context, string) error,
	error) {
	who := c.RESTConfig()
	who.CAFile, who.CAData = "", authority
	web, err := rest.HTTPClientFor(who)
	if err != nil {
		return nil, fmt.Errorf("make a client of the archive: %w", err)
	}
	return func(ctx context.Context, question string) (err error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+question, nil)
		if err != nil {
			return fmt.Errorf("ask the archive: %w", err)
		}
		answer, err := web.Do(request)
		if err != nil {
			return fmt.Errorf("ask the archive: %w", err)
		}
		defer func() { err = errors.Join(err, answer.Body.Close()) }()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return fmt.Errorf("ask the archive: %w", err)
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the archive answers %s", answer.Status)
		}
		return nil
	}, nil
}
