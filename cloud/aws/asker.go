package aws

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

const (
	// attempts of one call, and the longest pause between them. What fails longer is asked again by
	// whoever asks us.
	attempts   = 3
	maxBackoff = 5 * time.Second
	// lookups is how many events are looked up per second: CloudTrail allows two per account and
	// region, and others want to look, too.
	lookups = 1
)

// Options say how AWS is asked. The zero value asks as the SDK is set up by its environment: EKS
// Pod Identity, a service account's role (IRSA), the instance's role.
type Options struct {
	// Region is where credentials are drawn, if the environment does not say. Instances are asked
	// about in their own.
	Region string
	// Endpoint, if set, is asked in place of EC2 and CloudTrail.
	Endpoint string
	// HTTPClient, if set, sends the requests.
	HTTPClient *http.Client
	// MaxBackoff is the longest pause between attempts of one call, if it is not to be 5 s.
	MaxBackoff time.Duration
	// Clock is the real one, unless set.
	Clock clock.PassiveClock
}

// An Asker asks EC2 and CloudTrail.
type Asker struct {
	config   aws.Config
	endpoint *string
	clock    clock.PassiveClock
	pace     *rate.Limiter
}

var _ explain.Asker = (*Asker)(nil)

// New finds the credentials, and asks nobody yet.
func New(ctx context.Context, o Options) (*Asker, error) {
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = maxBackoff
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	load := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(s *retry.StandardOptions) {
				s.MaxAttempts, s.MaxBackoff = attempts, o.MaxBackoff
			})
		}),
	}
	if o.Region != "" {
		load = append(load, config.WithDefaultRegion(o.Region))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("set up the AWS SDK: %w", err)
	}
	// The SDK's own client knows AWS_CA_BUNDLE, which it refuses to combine with another one.
	if client, ok := c.HTTPClient.(*awshttp.BuildableClient); ok && o.HTTPClient == nil {
		o.HTTPClient = &http.Client{Transport: client.GetTransport()}
	}
	c.HTTPClient = explain.Client(o.HTTPClient)
	a := &Asker{config: c, clock: o.Clock, pace: rate.NewLimiter(lookups, lookups)}
	if o.Endpoint != "" {
		a.endpoint = &o.Endpoint
	}
	return a, nil
}

// Cloud returns "aws".
func (*Asker) Cloud() string { return "aws" }

// An inquiry is the question about one instance.
type inquiry struct {
	*explain.Draft
	explain.Instance
	id
	*Asker
	ec2   *ec2.Client
	trail *cloudtrail.Client
}

// Ask asks EC2 why an instance is gone, and CloudTrail who did it. See [explain.Asker].
func (a *Asker) Ask(ctx context.Context, i explain.Instance) (v1alpha1.CloudAnswer, error) {
	id, err := parse(i.ProviderID)
	if err != nil {
		return v1alpha1.CloudAnswer{}, err
	}
	q := inquiry{
		Draft: explain.NewDraft(a.Cloud(), a.clock.Now()), Instance: i, id: id, Asker: a,
		ec2: ec2.NewFromConfig(a.config, func(o *ec2.Options) {
			o.Region, o.BaseEndpoint = id.region, cmp.Or(a.endpoint, o.BaseEndpoint)
		}),
		trail: cloudtrail.NewFromConfig(a.config, func(o *cloudtrail.Options) {
			o.Region, o.BaseEndpoint = id.region, cmp.Or(a.endpoint, o.BaseEndpoint)
		}),
	}
	said := q.describe(ctx)
	if said.trail {
		q.lookUp(ctx)
	}
	if said.console {
		q.readConsole(ctx)
	}
	return q.Answer()
}
