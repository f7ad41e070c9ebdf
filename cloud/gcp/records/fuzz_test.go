package records

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// Whatever the operations are, an end is told in bounded words, and ended the instance before its
// Node left, or began soon after.
func FuzzParse(f *testing.F) {
	for _, kind := range []string{preempted, automaticRestart, "delete", "insert", "setLabels"} {
		f.Add([]byte(`[{"OperationType": "`+kind+`", "InsertTime": "2026-11-30T10:00:00.000-08:00",
  "User": "alice@example.com", "StatusMessage": "in words", "TargetID": 4711},
  {"OperationType": "insert", "InsertTime": "2026-11-29T10:00:00Z", "TargetID": 4711}]`), int64(0))
	}
	f.Add([]byte(`[{"OperationType": "delete", "InsertTime": "0000-01-01T00:00:00Z"}]`), int64(-1<<62))
	f.Fuzz(func(t *testing.T, listed []byte, at int64) {
		var entries []Entry
		if json.Unmarshal(listed, &entries) != nil {
			return
		}
		var all []Operation
		for _, e := range entries {
			if o, ok := Parse(e); ok {
				all = append(all, o)
			}
		}
		gone := time.Unix(at%1e11, 0)
		end := EndOf(all, gone)
		if end == nil {
			return
		}
		if !end.Ends {
			t.Errorf("%+v ended nothing", end)
		}
		said := told(t, end)
		if said.What == "" || said.Detail == "" || len(said.Detail) > 1024 || len(said.Who) > 256 {
			t.Errorf("it is told as %+v", said)
		}
	})
}

func told(t *testing.T, e *End) v1alpha1.CloudAnswer {
	t.Helper()
	d := explain.NewDraft("gcp", time.Unix(0, 0))
	d.Answered("compute.zoneOperations.list")
	e.Tell(d)
	said, err := d.Answer()
	if err != nil {
		t.Fatal(err)
	}
	return said
}
