package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/page"
)

func (p parts) addPage(context.Context) error {
	if !p.config.Page.Enabled {
		return nil
	}
	clients, err := kubernetes.NewForConfigAndClient(p.mgr.GetConfig(), p.mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("make the client of the page: %w", err)
	}
	api, err := p.watching()
	if err != nil {
		return err
	}
	records := page.NewRecords(podObituaries(api))
	pages, err := page.New(page.Options{
		Reader:     p.mgr.GetAPIReader(),
		Records:    records,
		Namespaces: namesOfNamespaces(p.mgr.GetCache()),
		Archive:    p.archive(),
		Reviewer:   clients.AuthenticationV1().TokenReviews(),
		Authorizer: clients.AuthorizationV1().SubjectAccessReviews(),
		Clock:      clock.RealClock{},
		Registerer: metrics.Registry,
		Log:        p.mgr.GetLogger().WithName("page"),
	})
	if err != nil {
		return fmt.Errorf("prepare the page: %w", err)
	}
	if err := p.mgr.Add(records); err != nil {
		return fmt.Errorf("add the records of the page: %w", err)
	}
	return p.mgr.Add(&page.Server{Page: pages, Config: p.config.Page,
		Log: p.mgr.GetLogger().WithName("page")})
}

// podObituaries lists and watches the records of pods.
func podObituaries(api client.WithWatch) cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context,
			o metav1.ListOptions) (runtime.Object, error) {
			list := &v1alpha1.PodObituaryList{}
			return list, api.List(ctx, list, options(o))
		},
		WatchFuncWithContext: func(ctx context.Context,
			o metav1.ListOptions) (watch.Interface, error) {
			return api.Watch(ctx, &v1alpha1.PodObituaryList{}, options(o))
		},
	}
}

// options are those of client-go for controller-runtime, which has its own of some.
func options(o metav1.ListOptions) *client.ListOptions {
	return &client.ListOptions{Raw: &o, Limit: o.Limit, Continue: o.Continue}
}

// namesOfNamespaces lists them from the cache, which keeps their metadata.
func namesOfNamespaces(r client.Reader) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		all := &metav1.PartialObjectMetadataList{}
		all.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
		if err := r.List(ctx, all); err != nil {
			return nil, fmt.Errorf("list the namespaces: %w", err)
		}
		names := make([]string, len(all.Items))
		for n, o := range all.Items {
			names[n] = o.Name
		}
		return names, nil
	}
}

const (
	// archiveLasts is how long what says where the archive is is believed.
	archiveLasts = time.Minute
	// archivePatience bounds one question to the archive.
	archivePatience = 20 * time.Second
)

// archive returns what finds the archive, where the plugin finds it, too; nil if none answers.
func (p parts) archive() func(context.Context) (*ask.Client, error) {
	if !p.config.Archive.Enabled || !p.config.Archive.Serve {
		return nil
	}
	f := &archiveFinder{api: p.mgr.GetAPIReader(), clock: clock.RealClock{}}
	return f.find
}

// An archiveFinder finds the archive.
type archiveFinder struct {
	api   client.Reader
	clock clock.PassiveClock

	mu     sync.Mutex
	until  time.Time
	found  *ask.Client
	behind string // the ConfigMap's version
}

func (f *archiveFinder) find(ctx context.Context) (*ask.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clock.Now().Before(f.until) {
		return f.found, nil
	}
	said := &corev1.ConfigMap{}
	err := f.api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespacePublic, Name: ask.ObjectName},
		said)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("find the archive: %w", err)
	}
	switch {
	case err != nil:
		f.forget()
	case f.found == nil || said.ResourceVersion != f.behind:
		f.forget()
		if f.found, err = archiveAt(said.Data); err != nil {
			return nil, err
		}
		f.behind = said.ResourceVersion
	}
	f.until = f.clock.Now().Add(archiveLasts)
	return f.found, nil
}

func (f *archiveFinder) forget() {
	if f.found != nil {
		f.found.HTTP.CloseIdleConnections()
	}
	f.found = nil
}

// archiveAt makes a client without anybody's credentials.
func archiveAt(data map[string]string) (*ask.Client, error) {
	at, err := ask.PlaceOf(data)
	if err != nil {
		return nil, err
	}
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(at.CA) > 0 {
		trusted.RootCAs = x509.NewCertPool()
		if !trusted.RootCAs.AppendCertsFromPEM(at.CA) {
			return nil, fmt.Errorf("the ConfigMap kube-public/%s has no certificate in ca.crt",
				ask.ObjectName)
		}
	}
	transport := &http.Transport{TLSClientConfig: trusted, Proxy: http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}
	return &ask.Client{URL: at.URL, HTTP: &http.Client{Timeout: archivePatience,
		CheckRedirect: ask.NoRedirect, Transport: transport}}, nil
}
