package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// registry is the prefix of everything that the API server stores, namespaces the one of those.
const (
	registry   = "/registry/"
	namespaces = registry + "namespaces/"
)

// alive are the prefixes of what the control plane's programs keep for themselves while they run:
// it belongs to no test.
var alive = []string{
	registry + "apiregistration.k8s.io/", registry + "configmaps/kube-system/",
	registry + "internal.apiserver.k8s.io/", registry + "leases/kube-system/",
	registry + "masterleases/", registry + "peerserverleases/",
	registry + "serviceaccounts/kube-system/",
}

const (
	// settled is how often in a row the store must be found as it was, pause the time in between:
	// a controller may just be making something for an object that is gone.
	settled = 3
	pause   = 100 * time.Millisecond
	// perTransaction is how many changes etcd makes at once, by default at most 128; perPage is how
	// many keys it lists at once.
	perTransaction, perPage = 100, 2000
)

// A baseline is what etcd held at one time. It is read and restored behind the API server's back,
// which hears of each change from its watches as it hears of its own: there is no other way to
// remove a thing without its finalizers, and none that is as complete.
type baseline struct {
	etcd string
	held map[string]entry
}

type entry struct {
	value []byte
	// revision is that of its last change.
	revision int64
}

// takeBaseline reads everything that is in etcd.
func takeBaseline(ctx context.Context, etcd string) (*baseline, error) {
	b := &baseline{etcd: etcd, held: map[string]entry{}}
	err := b.list(ctx, false, func(key string, e entry) { b.held[key] = e })
	if err != nil {
		return nil, fmt.Errorf("read what is in etcd: %w", err)
	}
	return b, nil
}

// restore makes etcd hold what it held. What changed is put back once: the API server itself
// changes some of it again. What came is removed until nothing comes any more.
func (b *baseline) restore(ctx context.Context) error {
	changed, err := b.changed(ctx)
	if err != nil {
		return err
	}
	for key, e := range changed {
		if err := b.post(ctx, "kv/put", put{Key: []byte(key), Value: e.value}, nil); err != nil {
			return err
		}
	}
	for clean := 0; clean < settled; {
		came, err := b.came(ctx)
		if err != nil {
			return err
		}
		clean++
		if len(came) > 0 {
			clean = 0
		}
		if err := b.remove(ctx, came); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d keys come again and again, %q among them: %w", len(came),
				came[:min(len(came), 3)], ctx.Err())
		case <-time.After(pause):
		}
	}
	// The new revisions are those from which a change is one.
	return b.list(ctx, true, func(key string, e entry) {
		if old, ok := b.held[key]; ok {
			b.held[key] = entry{old.value, e.revision}
		}
	})
}

// changed are the entries that have changed or are gone.
func (b *baseline) changed(ctx context.Context) (map[string]entry, error) {
	changed := map[string]entry{}
	for key, e := range b.held {
		if !isAlive(key) {
			changed[key] = e
		}
	}
	err := b.list(ctx, true, func(key string, now entry) {
		if changed[key].revision == now.revision {
			delete(changed, key)
		}
	})
	return changed, err
}

// came are the keys that were not there: namespaces first, since nothing can be made in one that is
// gone.
func (b *baseline) came(ctx context.Context) (keys []string, err error) {
	err = b.list(ctx, true, func(key string, _ entry) {
		if _, ok := b.held[key]; !ok && !isAlive(key) && !b.ofItsNamespace(key) {
			keys = append(keys, key)
		}
	})
	slices.SortStableFunc(keys, func(a, b string) int {
		return rank(a) - rank(b)
	})
	return keys, err
}

// ofItsNamespace tells whether a controller gives that to every namespace, and the namespace stays:
// it may have come to that only after the baseline was taken.
func (b *baseline) ofItsNamespace(key string) bool {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(key, registry), "/")
	namespace, name, _ := strings.Cut(rest, "/")
	_, stays := b.held[namespaces+namespace]
	return stays && slices.Contains([]string{"configmaps/kube-root-ca.crt",
		"serviceaccounts/default"}, kind+"/"+name)
}

func rank(key string) int {
	if strings.HasPrefix(key, namespaces) {
		return 0
	}
	return 1
}

func isAlive(key string) bool {
	return slices.ContainsFunc(alive, func(prefix string) bool {
		return strings.HasPrefix(key, prefix)
	})
}

func (b *baseline) remove(ctx context.Context, keys []string) error {
	for some := range slices.Chunk(keys, perTransaction) {
		var t transaction
		for _, key := range some {
			t.Success = append(t.Success, request{DeleteRange: &keyRange{Key: []byte(key)}})
		}
		if err := b.post(ctx, "kv/txn", t, nil); err != nil {
			return err
		}
	}
	return nil
}

// list calls each with every key of the registry, and with its value unless only keys are wanted.
func (b *baseline) list(ctx context.Context, keysOnly bool, each func(string, entry)) error {
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
		if err := b.post(ctx, "kv/range", keyRange{Key: from, RangeEnd: end, KeysOnly: keysOnly,
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
	request struct {
		DeleteRange *keyRange `json:"request_delete_range"`
	}
	transaction struct {
		Success []request `json:"success"`
	}
)

// post asks etcd's gateway, and decodes the answer if one is wanted.
func (b *baseline) post(ctx context.Context, what string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("encode a request to etcd: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.etcd+"/v3/"+what,
		bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask etcd for %s: %w", what, err)
	}
	response, err := http.DefaultClient.Do(r)
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
