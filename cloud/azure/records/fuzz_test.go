package records

import (
	"encoding/json"
	"testing"
	"time"
)

// Whatever the table holds, no more than the limit is read of it, and an end is told in Azure's words
// and happened around the end of the Node.
func FuzzParse(f *testing.F) {
	const occurred = "2026-11-30T10:00:00Z"
	at, err := time.Parse(time.RFC3339, occurred)
	if err != nil {
		f.Fatal(err)
	}
	for name := range kinds() {
		f.Add([]byte(`[{"occurred": "`+occurred+`", "annotation": "`+name+`", "summary": "in words"},
  {"occurred": "2026-11-30T09:59:00Z", "annotation": "VirtualMachineCrashed", "context": "?"}, 1]`), at.Unix())
	}
	f.Add([]byte(`[{"occurred": 1, "annotation": []}]`), int64(0))
	f.Add([]byte(`{}`), int64(-1<<62))
	f.Fuzz(func(t *testing.T, data []byte, unix int64) {
		var table any
		if json.Unmarshal(data, &table) != nil {
			return
		}
		const limit = 3
		all, err := Parse(table, limit)
		if err != nil {
			return
		}
		if len(all) > limit {
			t.Fatalf("%d annotations", len(all))
		}
		gone := time.Unix(unix%1e11, 0)
		end := EndOf(all, gone)
		if end == nil {
			return
		}
		if end.What() == "" || end.Words() == "" {
			t.Errorf("%+v ended nothing", end)
		}
		if end.Occurred.After(gone.Add(after)) || end.Occurred.Before(gone.Add(-before)) {
			t.Errorf("%+v is not around %s", end, gone)
		}
	})
}
