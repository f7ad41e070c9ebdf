package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// etcdWriters is how many changes are under way, perPage how many keys etcd lists at once.
const etcdWriters, perPage = 32, 2000

// etcdClient keeps a connection for each writer; that of net/http keeps two.
var etcdClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: etcdWriters}}

// An etcd is the URL of one. What is changed there is changed behind the API server's back, which
// hears of it from its watches as it hears of its own changes.
type etcd string

type entry struct {
	value []byte
	// revision is that of its last change.
	revision int64
}

// Store puts values into etcd: many thousand of them, in a moment. Keys and values have to be those
// that the API server would write; of custom resources, that is the JSON that it serves, below
// /registry/GROUP/RESOURCE/[NAMESPACE/]NAME.
func (s *Sandbox) Store(ctx context.Context, values map[string][]byte) error {
	return s.etcd.put(ctx, values)
}

func (e etcd) put(ctx context.Context, values map[string][]byte) error {
	var all []change
	for _, key := range slices.Sorted(maps.Keys(values)) {
		all = append(all, change{Put: &put{[]byte(key), values[key]}})
	}
	return e.make(ctx, all)
}

func (e etcd) remove(ctx context.Context, keys []string) error {
	all := make([]change, len(keys))
	for n, key := range keys {
		all[n].DeleteRange = &keyRange{Key: []byte(key)}
	}
	return e.make(ctx, all)
}

// make makes each change by itself, some at a time. Those of one transaction would have one revision,
// which the API server never writes: a watch that begins again in the middle of a revision does not
// get the rest of it.
func (e etcd) make(ctx context.Context, all []change) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(etcdWriters)
	for _, one := range all {
		group.Go(func() error {
			return e.post(ctx, "kv/txn", map[string]any{"success": []change{one}}, nil)
		})
	}
	return group.Wait()
}

// list calls each with every key of the registry, and with its value unless only keys are wanted.
func (e etcd) list(ctx context.Context, keysOnly bool, each func(string, entry)) error {
	end := []byte(registry)
	end[len(end)-1]++
	for from := []byte(registry); ; {
		var page struct {
			KVs []struct {
				Key, Value  []byte
				ModRevision string `json:"mod_revision"`
			}
			More bool
		}
		if err := e.post(ctx, "kv/range", keyRange{Key: from, RangeEnd: end, KeysOnly: keysOnly,
			Limit: perPage}, &page); err != nil {
			return err
		}
		for _, kv := range page.KVs {
			revision, err := strconv.ParseInt(kv.ModRevision, 10, 64)
			if err != nil {
				return fmt.Errorf("read the revision of %s: %w", kv.Key, err)
			}
			each(string(kv.Key), entry{kv.Value, revision})
			from = append(kv.Key, 0)
		}
		if !page.More {
			return nil
		}
	}
}

// What etcd's gateway is sent (go.etcd.io/etcd/api/v3/etcdserverpb/rpc.proto). Bytes are base64 in
// its JSON, and numbers of 64 bits are strings.
type (
	keyRange struct {
		Key      []byte `json:"key"`
		RangeEnd []byte `json:"range_end,omitempty"`
		KeysOnly bool   `json:"keys_only,omitempty"`
		Limit    int    `json:"limit,omitempty"`
	}
	put struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}
	change struct {
		Put         *put      `json:"request_put,omitempty"`
		DeleteRange *keyRange `json:"request_delete_range,omitempty"`
	}
)

// post asks etcd's gateway, and decodes the answer if one is wanted.
func (e etcd) post(ctx context.Context, what string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("encode a request to etcd: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, string(e)+"/v3/"+what,
		bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask etcd for %s: %w", what, err)
	}
	response, err := etcdClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask etcd for %s: %w", what, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read etcd's answer to %s: %w", what, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd answers %s with %s: %.500s", what, response.Status, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("decode etcd's answer to %s: %w", what, err)
	}
	return nil
}
