package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// ObjectName is the ConfigMap of kube-public that says where the archive is.
	ObjectName = "epitaph-archive"
	// maxAnswerBytes bounds an answer: 500 records of 100 KiB.
	maxAnswerBytes = 64 << 20
)

// A Place is where an archive is.
type Place struct {
	URL *url.URL
	// CA verifies its certificate; the system's authorities do if it is empty.
	CA []byte
}

// PlaceOf reads the ConfigMap.
func PlaceOf(data map[string]string) (Place, error) {
	at, err := url.Parse(data["url"])
	if err != nil || at.Scheme != "https" || at.Host == "" {
		return Place{}, fmt.Errorf("the ConfigMap kube-public/%s has no https URL of the archive",
			ObjectName)
	}
	return Place{URL: at, CA: []byte(data["ca.crt"])}, nil
}

// A Client asks for one user.
type Client struct {
	URL  *url.URL
	HTTP *http.Client
	// Token is the user's, if the HTTP client has no credentials of its own.
	Token string
}

// A Refusal is an answer without records.
type Refusal struct {
	// Status is that of HTTP.
	Status int
	Says   string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the archive answers %d: %s", r.Status, r.Says)
}

// Page asks for one page.
func (c *Client) Page(ctx context.Context, kind archive.Kind, q url.Values) (page archive.List,
	err error) {
	err = c.get(ctx, q, &page, kind.Plural())
	return page, err
}

// Counts asks for numbers of records.
func (c *Client) Counts(ctx context.Context, kind archive.Kind, q url.Values) ([]archive.Count,
	error) {
	var counts archive.Counts
	if err := c.get(ctx, q, &counts, "counts", kind.Plural()); err != nil {
		return nil, err
	}
	for _, n := range counts.Items {
		if len(n.Of) != fields(q) {
			return nil, errOther
		}
	}
	return counts.Items, nil
}

// errOther is of an archive that knows other fields than this program.
var errOther = errors.New("the archive counts by something else than it was asked")

// fields is by how many a question has the archive count.
func fields(q url.Values) int {
	by := q.Get(archive.ParameterBy)
	if by == "" {
		return 0
	}
	return strings.Count(by, ",") + 1
}

// Hours asks for sums of hours of pods.
func (c *Client) Hours(ctx context.Context, q url.Values) ([]archive.Hours, error) {
	var hours archive.AllHours
	if err := c.get(ctx, q, &hours, "hours", archive.PodKind.Plural()); err != nil {
		return nil, err
	}
	for _, h := range hours.Items {
		if len(h.Of) != fields(q) {
			return nil, errOther
		}
	}
	return hours.Items, nil
}

func (c *Client) get(ctx context.Context, q url.Values, into any, path ...string) error {
	at := *c.URL.JoinPath(append([]string{"v1"}, path...)...)
	at.RawQuery = q.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return fmt.Errorf("ask the archive: %w", err)
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	answer, err := c.HTTP.Do(request)
	if err != nil {
		return fmt.Errorf("ask the archive: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("read the answer of the archive: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		refusal := archive.Refusal{}
		if err := json.Unmarshal(body, &refusal); err != nil || refusal.Error == "" {
			refusal.Error = http.StatusText(answer.StatusCode)
		}
		return &Refusal{answer.StatusCode, reason.CleanTo(refusal.Error, reason.MaxTextBytes)}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer of the archive: %w", err)
	}
	return nil
}

// All calls record with each record of an answer, page by page. A question with a limit has one
// page; more than most records are an error.
func (c *Client) All(ctx context.Context, kind archive.Kind, q url.Values, most int,
	record func(archive.Item) error) error {
	for left := most; left > 0; {
		page, err := c.Page(ctx, kind, q)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := record(item); err != nil {
				return fmt.Errorf("read a record of the archive: %w", err)
			}
		}
		if left -= len(page.Items); page.Next == "" || len(page.Items) == 0 ||
			q.Has(archive.ParameterLimit) {
			return nil
		}
		q.Set(archive.ParameterCursor, page.Next)
	}
	return fmt.Errorf("the archive has more than %d records: %w", most, ErrMany)
}

// ErrMany is the error of an answer with more records than the caller takes.
var ErrMany = errors.New("ask for less of them")

// NoRedirect is for the HTTP client: a token goes to the one who is named, and nowhere else.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Status returns that of a refusal, 0 of any other error.
func Status(err error) int {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Status
	}
	return 0
}
