package sandbox

import (
	"context"
	"maps"
	"slices"
)

// Store puts values into etcd behind the API server's back, which hears of them from its watches:
// many thousand of them, in a moment. Keys and values have to be those that the API server would
// write; of custom resources, that is the JSON that it serves, below
// /registry/GROUP/RESOURCE/[NAMESPACE/]NAME.
func (s *Sandbox) Store(ctx context.Context, values map[string][]byte) error {
	type operation struct {
		Put put `json:"request_put"`
	}
	gateway := &baseline{etcd: s.etcdURL}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(values)), perTransaction) {
		var changes struct {
			Success []operation `json:"success"`
		}
		for _, key := range some {
			changes.Success = append(changes.Success, operation{put{[]byte(key), values[key]}})
		}
		if err := gateway.post(ctx, "kv/txn", changes, nil); err != nil {
			return err
		}
	}
	return nil
}
