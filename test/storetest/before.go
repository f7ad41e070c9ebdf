package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/archive"
)

// What an older program stores beside the columns that it does not know.
const older = `INSERT INTO records (%s) VALUES ('before', '%s', '%s', 1, 1, %s, '', 'n', 'n',
	'KernelPanic', 'disruption', '%s'%s)`

// crashed is the kernel's log of a node's record of before records had fingerprints.
var crashed = []string{"Kernel panic - not syncing: Fatal exception",
	"CPU: 1 PID: 7 Comm: x Not tainted 6.12.1 #1", "Call Trace:", "panic+0x1/0x2",
	"nvme_irq+0x1/0x2 [nvme]"}

// Before stores a record of a node and one of a pod as the program of migration 1 did. The time is
// as the store has it, and besides are the columns, with values, that only this store has.
func Before(t *testing.T, execute func(statement string) error, at string, besides ...string) {
	t.Helper()
	columns := "cluster, kind, uid, epoch, revision, removed, namespace, name, node, code, class, document"
	values := ""
	for n := 0; n+1 < len(besides); n += 2 {
		columns, values = columns+", "+besides[n], values+", "+besides[n+1]
	}
	document, err := json.Marshal(map[string]any{"spec": map[string]any{"kernelLog": crashed}})
	if err != nil {
		t.Fatal(err)
	}
	for uid, r := range map[string]struct{ kind, document string }{
		"node": {"Node", string(document)}, "pod": {"Pod", "{}"},
		"hostile": {"Node", `{"spec": {"kernelLog": "none"}}`},
	} {
		statement := fmt.Sprintf(older, columns, r.kind, uid, at,
			strings.ReplaceAll(r.document, "'", "''"), values)
		if err := execute(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// OpenedAtOnce has replicas open one store at the same time: all of them can.
func OpenedAtOnce[S archive.Store](t *testing.T, replicas int, open func() (S, error)) {
	t.Helper()
	var all errgroup.Group
	for range replicas {
		all.Go(func() error {
			s, err := open()
			if err == nil {
				s.Close()
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}

// After checks what a store that was opened since has of these records.
func After(t *testing.T, s archive.Store) {
	t.Helper()
	q := archive.Query{Cluster: "before"}
	equal(t, len(uids(t, s, q)), 3)
	got, err := s.Count(t.Context(), q, []archive.Field{archive.ByFingerprint})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, []archive.Count{{Of: []string{""}, N: 2},
		{Of: []string{"8bf950325b83-7028313b"}, N: 1}})
	hours, err := s.Hours(t.Context(), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, hours, []archive.Hours{{Of: []string{}, N: 3}})
}
