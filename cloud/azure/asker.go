package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resourcegraph/armresourcegraph"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

const (
	// retries of one call, and the longest pause between them. What fails longer is asked again by
	// whoever asks us.
	retries    = 2
	maxBackoff = 5 * time.Second
	retryDelay = 800 * time.Millisecond
	tryTimeout = 30 * time.Second
	// before and after bound what may have ended the machine, around the end of its Node.
	before = 24 * time.Hour
	after  = 15 * time.Minute
	// lag is how far the activity log may lag behind
	// (learn.microsoft.com/azure/azure-monitor/platform/activity-log).
	lag = 20 * time.Minute
)

// Options say how Azure is asked. The zero value asks as the environment says: by workload
// identity, a managed identity, or the variables of EnvironmentCredential.
type Options struct {
	// Endpoint, if set, is asked in place of Azure Resource Manager.
	Endpoint string
	// HTTPClient, if set, sends the requests.
	HTTPClient *http.Client
	// MaxBackoff is the longest pause between attempts of one call, if it is not to be 5 s.
	MaxBackoff time.Duration
	// Clock is the real one, unless set.
	Clock clock.PassiveClock
}

// An Asker asks Resource Graph and the activity log.
type Asker struct {
	credential azcore.TokenCredential
	options    *arm.ClientOptions
	graph      *armresourcegraph.Client
	clock      clock.PassiveClock
}

var _ explain.Asker = (*Asker)(nil)

// New finds the credentials, and asks nobody yet.
func New(_ context.Context, o Options) (*Asker, error) {
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = maxBackoff
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	client := policy.ClientOptions{
		Transport: explain.Client(o.HTTPClient),
		Retry: policy.RetryOptions{MaxRetries: retries, TryTimeout: tryTimeout,
			RetryDelay: min(retryDelay, o.MaxBackoff), MaxRetryDelay: o.MaxBackoff},
	}
	credential, err := credential(client, o.Endpoint != "")
	if err != nil {
		return nil, fmt.Errorf("find Azure's credentials: %w", err)
	}
	client.Cloud = where(o.Endpoint)
	// To register a provider with a subscription takes the right to write.
	options := &arm.ClientOptions{ClientOptions: client, DisableRPRegistration: true}
	graph, err := armresourcegraph.NewClient(credential, options)
	if err != nil {
		return nil, fmt.Errorf("set up the client of Resource Graph: %w", err)
	}
	return &Asker{credential: credential, options: options, graph: graph, clock: o.Clock}, nil
}

// credential is DefaultAzureCredential without what developers have on their machines: it would run
// their programs. A private cloud is not known to the public one.
func credential(o policy.ClientOptions, private bool) (azcore.TokenCredential, error) {
	var all []azcore.TokenCredential
	var failed []error
	add := func(c azcore.TokenCredential, err error) {
		if err != nil {
			failed = append(failed, err)
			return
		}
		all = append(all, c)
	}
	env, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{
		ClientOptions: o, DisableInstanceDiscovery: private})
	add(env, err)
	workload, err := azidentity.NewWorkloadIdentityCredential(
		&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: o,
			DisableInstanceDiscovery: private})
	add(workload, err)
	managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
	if client := os.Getenv("AZURE_CLIENT_ID"); client != "" {
		managed.ID = azidentity.ClientID(client)
	}
	machine, err := azidentity.NewManagedIdentityCredential(managed)
	add(machine, err)
	if len(all) == 0 {
		return nil, errors.Join(failed...)
	}
	return azidentity.NewChainedTokenCredential(all, nil)
}

// where returns the cloud: that of the authority which the workload identity's webhook names, with
// the endpoint, if one is given.
func where(endpoint string) cloud.Configuration {
	found := cloud.AzurePublic
	for _, c := range []cloud.Configuration{cloud.AzureGovernment, cloud.AzureChina} {
		if os.Getenv("AZURE_AUTHORITY_HOST") == c.ActiveDirectoryAuthorityHost {
			found = c
		}
	}
	if endpoint == "" {
		return found
	}
	audience := found.Services[cloud.ResourceManager].Audience
	return cloud.Configuration{ActiveDirectoryAuthorityHost: found.ActiveDirectoryAuthorityHost,
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: endpoint, Audience: audience}}}
}

// Cloud returns "azure".
func (*Asker) Cloud() string { return "azure" }

// An inquiry is the question about one machine.
type inquiry struct {
	*explain.Draft
	explain.Instance
	id
	*Asker
}

// Ask asks Azure why a machine is gone. See [explain.Asker].
func (a *Asker) Ask(ctx context.Context, i explain.Instance) (v1alpha1.CloudAnswer, error) {
	id, err := parse(i.ProviderID)
	if err != nil {
		return v1alpha1.CloudAnswer{}, err
	}
	q := inquiry{Draft: explain.NewDraft(a.Cloud(), a.clock.Now()), Instance: i, id: id, Asker: a}
	explained := q.readHealth(ctx)
	if !explained && !q.readLog(ctx) && a.clock.Since(i.Gone) < lag {
		q.Later()
	}
	return q.Answer()
}
