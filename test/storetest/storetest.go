// Package storetest is the suite that every store of the archive passes.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/epitaph-k8s/epitaph/archive"
)

// Now is the time of the store's clock.
var Now = time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC)

// Run runs the suite on one store: each part has clusters of its own.
func Run(t *testing.T, s archive.Store) {
	for name, part := range map[string]func(*testing.T, archive.Store){
		"claim": claim, "newest revision wins": newest, "positions": positions,
		"gone is only a last resort": gone, "the time is amended": amendedTime,
		"filters": filters, "labels": labelled, "pages": pages, "counts": counts,
		"counts of documents": countsOfDocuments, "hours": hours,
		"hostile text": hostile, "clocks that are wrong": clocks, "one megabyte": megabyte,
		"writers at once": atOnce, "wrong queries": wrong, "what is stored": stored,
		"all or nothing": allOrNothing, "changes": changes, "receivers": receivers,
		"nothing is stored behind a reader": behind, "another database": another,
	} {
		t.Run(name, func(t *testing.T) { part(t, s) })
	}
	// It is the last, since it knows no clusters.
	t.Run("expiry", func(t *testing.T) { expiry(t, s) })
}

// aRecord is one of a pod that left some time before Now.
func aRecord(cluster, uid string, ago time.Duration, changes ...func(*archive.Record)) archive.Record {
	r := archive.Record{Cluster: cluster, Kind: archive.PodKind, UID: uid, Epoch: 1, Revision: 10,
		Removed: Now.Add(-ago), Namespace: "batch", Record: "record-" + uid, Name: "pod-" + uid,
		Subject: "pod-uid-" + uid, Node: "n1", Code: "KernelPanic", Class: "disruption",
		Document: []byte(`{"uid": "` + uid + `"}`)}
	for _, change := range changes {
		change(&r)
	}
	return r
}

func put(t *testing.T, s archive.Store, all ...archive.Record) {
	t.Helper()
	b := archive.Batch{Cluster: all[0].Cluster, Kind: all[0].Kind, Records: all}
	if err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func uids(t *testing.T, s archive.Store, q archive.Query) (found []string) {
	t.Helper()
	page, err := s.List(t.Context(), q)
	if err != nil {
		t.Fatalf("list %+v: %v", q, err)
	}
	for _, r := range page.Records {
		found = append(found, r.UID)
	}
	return found
}

func get(t *testing.T, s archive.Store, cluster, uid string) archive.Record {
	t.Helper()
	r, err := s.Get(t.Context(), cluster, uid)
	if err != nil {
		t.Fatalf("get %s of %s: %v", uid, cluster, err)
	}
	return r
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func claim(t *testing.T, s archive.Store) {
	for _, id := range []string{"id-a", "id-a"} {
		if err := s.Claim(t.Context(), "claimed", id); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Claim(t.Context(), "claimed", "id-b"); !errors.Is(err, archive.ErrForeign) {
		t.Errorf("another cluster takes the name: %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func newest(t *testing.T, s archive.Store) {
	code := func(revision, epoch int64, code string) func(*archive.Record) {
		return func(r *archive.Record) { r.Revision, r.Epoch, r.Code = revision, epoch, code }
	}
	for _, step := range []struct {
		revision, epoch int64
		code, want      string
	}{
		{10, 1, "NodeDeleted", "NodeDeleted"},
		{12, 1, "KernelPanic", "KernelPanic"}, // amended
		{11, 1, "Late", "KernelPanic"},        // a writer that was slow
		{12, 1, "Again", "KernelPanic"},       // the same once more
		{3, 2, "Restored", "Restored"},        // etcd was restored, its revisions began anew
		{99, 1, "Late", "Restored"},
	} {
		put(t, s, aRecord("newest", "a", time.Hour, code(step.revision, step.epoch, step.code)))
		equal(t, get(t, s, "newest", "a").Code, step.want)
	}
	// Of several revisions in one batch, the newest counts.
	put(t, s, aRecord("newest", "b", time.Hour, code(7, 1, "Newer")),
		aRecord("newest", "b", time.Hour, code(6, 1, "Older")))
	equal(t, get(t, s, "newest", "b").Code, "Newer")
	equal(t, uids(t, s, archive.Query{Cluster: "newest"}), []string{"b", "a"})
	if _, err := s.Get(t.Context(), "another", "a"); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("another cluster's record: %v", err)
	}
}

func positions(t *testing.T, s archive.Store) {
	at := func() archive.Position {
		p, err := s.Position(t.Context(), "positions", archive.NodeKind)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	equal(t, at(), archive.Position{})
	for _, step := range []struct{ reached, want archive.Position }{
		{archive.Position{Epoch: 1, Revision: 5}, archive.Position{Epoch: 1, Revision: 5}},
		{archive.Position{}, archive.Position{Epoch: 1, Revision: 5}},
		{archive.Position{Epoch: 1, Revision: 3}, archive.Position{Epoch: 1, Revision: 5}},
		{archive.Position{Epoch: 2, Revision: 3}, archive.Position{Epoch: 2, Revision: 3}},
	} {
		b := archive.Batch{Cluster: "positions", Kind: archive.NodeKind, Reached: step.reached}
		if err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		equal(t, at(), step.want)
	}
}

func gone(t *testing.T, s archive.Store) {
	ended := func(r *archive.Record) { r.Gone, r.Revision, r.Code = true, 50, "AtItsEnd" }
	put(t, s, aRecord("gone", "known", time.Hour))
	put(t, s, aRecord("gone", "known", time.Hour, ended), aRecord("gone", "new", time.Hour, ended))
	equal(t, get(t, s, "gone", "known").Code, "KernelPanic")
	equal(t, get(t, s, "gone", "new").Code, "AtItsEnd")
}

// A record of a node that is written again before the node goes has another time, perhaps of
// another month.
func amendedTime(t *testing.T, s archive.Store) {
	later := func(r *archive.Record) { r.Revision, r.Removed = 11, Now.Add(-time.Hour) }
	put(t, s, aRecord("amended", "a", 21*24*time.Hour))
	put(t, s, aRecord("amended", "a", 0, later))
	equal(t, uids(t, s, archive.Query{Cluster: "amended"}), []string{"a"})
	equal(t, get(t, s, "amended", "a").Removed, Now.Add(-time.Hour))
	// The old revision, sent again, changes nothing.
	put(t, s, aRecord("amended", "a", 21*24*time.Hour))
	equal(t, uids(t, s, archive.Query{Cluster: "amended"}), []string{"a"})
}

func filters(t *testing.T, s archive.Store) {
	put(t, s,
		aRecord("filters", "1", time.Minute),
		aRecord("filters", "2", time.Hour, func(r *archive.Record) { r.Namespace = "web" }),
		aRecord("filters", "3", 2*time.Hour, func(r *archive.Record) { r.Node = "n2" }),
		aRecord("filters", "4", 3*time.Hour, func(r *archive.Record) { r.Code = "Evicted" }),
		aRecord("filters", "5", 4*time.Hour, func(r *archive.Record) { r.Class = "unexplained" }),
		aRecord("filters", "6", 5*time.Hour, func(r *archive.Record) { r.Owners = []string{"rs", "train"} }))
	nodes := aRecord("filters", "7", 0, func(r *archive.Record) { r.Kind, r.Namespace = archive.NodeKind, "" })
	put(t, s, nodes)
	put(t, s, aRecord("filters-2", "8", 0))
	for name, tc := range map[string]struct {
		q    archive.Query
		want []string
	}{
		"kind":          {archive.Query{Kind: archive.NodeKind}, []string{"7"}},
		"namespace":     {archive.Query{Namespace: "web"}, []string{"2"}},
		"node":          {archive.Query{Node: "n2"}, []string{"3"}},
		"code":          {archive.Query{Code: "Evicted"}, []string{"4"}},
		"class":         {archive.Query{Class: "unexplained"}, []string{"5"}},
		"owner, nearer": {archive.Query{Owner: "rs"}, []string{"6"}},
		"owner, top":    {archive.Query{Owner: "train"}, []string{"6"}},
		"name":          {archive.Query{Name: "pod-3"}, []string{"3"}},
		"UID":           {archive.Query{Subject: "pod-uid-4"}, []string{"4"}},
		"record":        {archive.Query{Record: "record-5"}, []string{"5"}},
		"since":         {archive.Query{Since: Now.Add(-time.Hour)}, []string{"7", "1", "2"}},
		"until": {archive.Query{Until: Now.Add(-time.Hour), Since: Now.Add(-3 * time.Hour)},
			[]string{"3", "4"}},
		"several": {archive.Query{Kind: archive.PodKind, Namespace: "batch", Node: "n1",
			Code: "KernelPanic", Class: "disruption"}, []string{"1", "6"}},
		"none": {archive.Query{Namespace: "nowhere"}, nil},
	} {
		tc.q.Cluster = "filters"
		if diff := cmp.Diff(tc.want, uids(t, s, tc.q)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	equal(t, uids(t, s, archive.Query{Name: "pod-8"}), []string{"8"}) // of all clusters
}

func labelled(t *testing.T, s archive.Store) {
	with := func(l map[string]string) func(*archive.Record) {
		return func(r *archive.Record) { r.Labels = l }
	}
	put(t, s, aRecord("labels", "a", 3*time.Hour, with(map[string]string{"team": "a", "tier": "web"})),
		aRecord("labels", "b", 2*time.Hour, with(map[string]string{"team": "b"})),
		aRecord("labels", "none", time.Hour))
	for selector, want := range map[string][]string{
		"team=a": {"a"}, "team in (a,b)": {"b", "a"}, "team!=a": {"none", "b"},
		"team notin (a,b)": {"none"}, "team": {"b", "a"}, "!team": {"none"},
		"team,tier=web": {"a"}, "team=b,tier": nil, "": {"none", "b", "a"},
	} {
		parsed, err := labels.Parse(selector)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, uids(t, s, archive.Query{Cluster: "labels", Labels: parsed})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", selector, diff)
		}
	}
	equal(t, uids(t, s, archive.Query{Cluster: "labels", Labels: labels.Nothing()}), []string(nil))
	// An amended record has the labels of its new revision, and no others.
	put(t, s, aRecord("labels", "a", 3*time.Hour, with(map[string]string{"team": "c"}),
		func(r *archive.Record) { r.Revision = 11 }))
	equal(t, uids(t, s, archive.Query{Cluster: "labels",
		Labels: labels.SelectorFromSet(labels.Set{"team": "c"})}), []string{"a"})
	equal(t, uids(t, s, archive.Query{Cluster: "labels",
		Labels: labels.SelectorFromSet(labels.Set{"tier": "web"})}), []string(nil))
}

// Records of one time are told apart by their UID: a page begins where the one before has ended,
// also if newer records have come meanwhile.
func pages(t *testing.T, s archive.Store) {
	var want []string
	for n := range 25 {
		uid := fmt.Sprintf("%02d", n)
		put(t, s, aRecord("pages", uid, time.Hour))
		want = append(want, uid)
	}
	slices.Reverse(want)
	var got []string
	q := archive.Query{Cluster: "pages", Limit: 10}
	for n := 0; n == 0 || q.Cursor != ""; n++ {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			got = append(got, r.UID)
		}
		put(t, s, aRecord("pages", fmt.Sprintf("new-%d", n), 0))
		q.Cursor = page.Next
		if n > 5 {
			t.Fatal("the pages do not end")
		}
	}
	equal(t, got, want)
}

func counts(t *testing.T, s archive.Store) {
	for n, code := range []string{"Evicted", "Evicted", "KernelPanic"} {
		put(t, s, aRecord("counts", fmt.Sprint(n), time.Duration(n)*24*time.Hour,
			func(r *archive.Record) { r.Code = code }))
	}
	for name, tc := range map[string]struct {
		by   []archive.Field
		want []archive.Count
	}{
		"by code": {[]archive.Field{archive.ByCode}, []archive.Count{
			{Of: []string{"Evicted"}, N: 2}, {Of: []string{"KernelPanic"}, N: 1}}},
		"by day and code": {[]archive.Field{archive.ByDay, archive.ByCode}, []archive.Count{
			{Of: []string{"2026-11-18", "KernelPanic"}, N: 1},
			{Of: []string{"2026-11-19", "Evicted"}, N: 1},
			{Of: []string{"2026-11-20", "Evicted"}, N: 1}}},
		"by month, node and namespace": {[]archive.Field{archive.ByMonth, archive.ByNode,
			archive.ByNamespace}, []archive.Count{{Of: []string{"2026-11", "n1", "batch"}, N: 3}}},
		"by cluster": {[]archive.Field{archive.ByCluster, archive.ByClass}, []archive.Count{
			{Of: []string{"counts", "disruption"}, N: 3}}},
	} {
		got, err := s.Count(t.Context(), archive.Query{Cluster: "counts"}, tc.by)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What has no column is counted from the document; what an older program stored has neither.
func countsOfDocuments(t *testing.T, s archive.Store) {
	says := func(document string) func(*archive.Record) {
		return func(r *archive.Record) { r.Document = []byte(document) }
	}
	put(t, s,
		aRecord("documents", "1", time.Hour, says(`{"metadata": {"labels": {"team": "a"}},
			"spec": {"nodePool": "gpu", "nodeKernel": "6.12"}}`)),
		aRecord("documents", "2", time.Hour, says(`{"metadata": {"labels": {"team": "a", "x.y/z": "it's"}}}`)),
		aRecord("documents", "3", time.Hour, says(`{"metadata": "none", "spec": ["hostile"]}`)))
	node := func(r *archive.Record) { r.Kind, r.Fingerprint = archive.NodeKind, "0f-1a" }
	put(t, s, aRecord("documents", "4", time.Hour, node, says(`{"spec": {"pool": "gpu", "kernel": "6.1"}}`)))
	for field, want := range map[archive.Field][]archive.Count{
		byLabel("team"):  {{Of: []string{""}, N: 2}, {Of: []string{"a"}, N: 2}},
		byLabel("x.y/z"): {{Of: []string{""}, N: 3}, {Of: []string{"it's"}, N: 1}},
		archive.ByPool:   {{Of: []string{""}, N: 2}, {Of: []string{"gpu"}, N: 2}},
		archive.ByKernel: {{Of: []string{""}, N: 2}, {Of: []string{"6.1"}, N: 1},
			{Of: []string{"6.12"}, N: 1}},
		archive.ByFingerprint: {{Of: []string{""}, N: 3}, {Of: []string{"0f-1a"}, N: 1}},
	} {
		got, err := s.Count(t.Context(), archive.Query{Cluster: "documents"}, []archive.Field{field})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
	for _, key := range []string{"", "a b", "$", "a') --", strings.Repeat("a", 64), "a/b/c"} {
		if _, err := s.Count(t.Context(), archive.Query{},
			[]archive.Field{byLabel(key)}); !errors.Is(err, archive.ErrQuery) {
			t.Errorf("by the label %q: %v", key, err)
		}
	}
}

func hours(t *testing.T, s archive.Store) {
	held := func(d time.Duration, gpus int64) func(*archive.Record) {
		return func(r *archive.Record) { r.Held, r.GPUSeconds = &d, gpus*int64(d.Seconds()) }
	}
	put(t, s, aRecord("hours", "1", time.Hour, held(time.Hour, 8)),
		aRecord("hours", "2", time.Hour, held(30*time.Minute, 0)),
		aRecord("hours", "3", time.Hour, held(0, 0), func(r *archive.Record) { r.Node = "n2" }),
		aRecord("hours", "4", time.Hour))
	for name, tc := range map[string]struct {
		by   []archive.Field
		q    archive.Query
		want []archive.Hours
	}{
		"all": {nil, archive.Query{}, []archive.Hours{
			{Of: []string{}, N: 4, Known: 3, Seconds: 5400, GPUSeconds: 28800}}},
		"by node": {[]archive.Field{archive.ByNode}, archive.Query{}, []archive.Hours{
			{Of: []string{"n1"}, N: 3, Known: 2, Seconds: 5400, GPUSeconds: 28800},
			{Of: []string{"n2"}, N: 1, Known: 1}}},
		"of none": {nil, archive.Query{Namespace: "nowhere"}, []archive.Hours{{Of: []string{}}}},
	} {
		tc.q.Cluster = "hours"
		got, err := s.Hours(t.Context(), tc.q, tc.by)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// An amended record has the hours of its new revision.
	put(t, s, aRecord("hours", "1", time.Hour, held(2*time.Hour, 1), func(r *archive.Record) { r.Revision = 11 }))
	got, err := s.Hours(t.Context(), archive.Query{Cluster: "hours", Name: "pod-1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, []archive.Hours{{Of: []string{}, N: 1, Known: 1, Seconds: 7200, GPUSeconds: 7200}})
	if _, err := s.Hours(t.Context(), archive.Query{}, []archive.Field{"document"}); !errors.Is(err, archive.ErrQuery) {
		t.Errorf("by what is no field: %v", err)
	}
}

// Text is data, whatever it has in it.
func hostile(t *testing.T, s archive.Store) {
	for n, text := range []string{
		"'; DROP TABLE records; --", `" OR 1=1 --`, "$1", "?1", `\'; SELECT pg_sleep(60); --`,
		"a\x00b", "\xff\xfe", "\u202egnp.exe", "%s%n", "\\u0000", `\\u0000`, "é\u0301", "{a,b}", "",
	} {
		// As a record's text, everywhere where one can stand.
		uid := fmt.Sprintf("u%d", n)
		document, err := json.Marshal(map[string]string{"reason": text})
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, aRecord("hostile", uid, time.Hour, func(r *archive.Record) {
			r.Namespace, r.Name, r.Subject, r.Node, r.Code, r.Class = text, text, text, text, text, text
			r.Record, r.Owners, r.Labels = text, []string{text}, map[string]string{"k": text}
			r.Fingerprint = text
			r.Document = document
		}))
		var kept map[string]string
		if err := json.Unmarshal(get(t, s, "hostile", uid).Document, &kept); err != nil {
			t.Fatal(err)
		}
		var written map[string]string
		if err := json.Unmarshal(document, &written); err != nil {
			t.Fatal(err)
		}
		equal(t, kept["reason"], strings.ReplaceAll(written["reason"], "\x00", "\uFFFD"))

		// As a question. Bytes that PostgreSQL refuses are an error, and nothing else.
		before, err := s.Count(t.Context(), archive.Query{Cluster: "hostile"}, []archive.Field{"kind"})
		if err == nil {
			t.Fatalf("an unknown field was counted: %v", before)
		}
		for _, q := range []archive.Query{{Namespace: text}, {Name: text}, {Node: text}, {Code: text},
			{Class: text}, {Owner: text}, {Subject: text}, {Record: text}, {Cursor: text},
			{Kind: archive.Kind(text)}, {Cluster: text},
			{Cursor: archive.Place{Removed: Now, UID: text}.Cursor()}} {
			if q.Cluster == "" {
				q.Cluster = "hostile"
			}
			_, _ = s.List(t.Context(), q)
			_, _ = s.Count(t.Context(), q, []archive.Field{archive.ByCode})
			_, _ = s.Count(t.Context(), q, []archive.Field{archive.Field(text)})
			_, _ = s.Hours(t.Context(), q, []archive.Field{byLabel(text)})
		}
		_, _ = s.Get(t.Context(), text, text)
		_, _ = s.Position(t.Context(), text, archive.Kind(text))
		_ = s.Claim(t.Context(), text, text)
		_, _ = s.Stored(t.Context(), text, 1, map[string]int64{text: 1})
		equal(t, len(uids(t, s, archive.Query{Cluster: "hostile"})), n+1)
	}
	equal(t, uids(t, s, archive.Query{Cluster: "hostile", Owner: "'; DROP TABLE records; --"}), []string{"u0"})
	equal(t, uids(t, s, archive.Query{Cluster: "hostile", Code: `" OR 1=1 --`}), []string{"u1"})
}

// A time that cannot be neither hides a record nor doubles it.
func clocks(t *testing.T, s archive.Store) {
	for uid, at := range map[string]time.Time{
		"zero": {}, "year 9999": time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		"ahead": Now.Add(400 * 24 * time.Hour),
	} {
		for range 2 {
			put(t, s, aRecord("clocks", uid, 0, func(r *archive.Record) { r.Removed = at }))
		}
		if got := get(t, s, "clocks", uid).Removed; got.After(Now) || got.Year() < 2015 {
			t.Errorf("%s: left at %s", uid, got)
		}
	}
	equal(t, len(uids(t, s, archive.Query{Cluster: "clocks"})), 3)
	slightly := Now.Add(time.Minute)
	put(t, s, aRecord("clocks", "slightly ahead", 0, func(r *archive.Record) { r.Removed = slightly }))
	equal(t, get(t, s, "clocks", "slightly ahead").Removed, slightly)
}

func megabyte(t *testing.T, s archive.Store) {
	long := strings.Repeat("é", 1<<19)
	put(t, s, aRecord("megabyte", "a", time.Hour, func(r *archive.Record) {
		r.Name, r.Code, r.Owners = long, long, []string{long}
		r.Labels = map[string]string{long: long}
		r.Document = []byte(`{"reason":"` + long + `"}`)
	}))
	r := get(t, s, "megabyte", "a")
	if len(r.Document) < len(long) {
		t.Errorf("the document has %d bytes of %d", len(r.Document), len(long))
	}
	if !strings.HasPrefix(long, r.Name) || len(r.Name) < 500 || len(r.Name) > 512 {
		t.Errorf("the name has %d bytes", len(r.Name))
	}
}

// Two who write the same at once write it once.
func atOnce(t *testing.T, s archive.Store) {
	const writers, records = 4, 50
	var wait sync.WaitGroup
	failures := make(chan error, writers)
	for w := range writers {
		wait.Go(func() {
			b := archive.Batch{Cluster: "at once", Kind: archive.PodKind,
				Reached: archive.Position{Epoch: 1, Revision: int64(w)}}
			for n := range records {
				b.Records = append(b.Records, aRecord("at once", fmt.Sprintf("%02d", n), 0,
					func(r *archive.Record) { r.Revision = int64(w) }))
			}
			failures <- s.Put(context.WithoutCancel(t.Context()), b)
		})
	}
	wait.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	equal(t, len(uids(t, s, archive.Query{Cluster: "at once"})), records)
	for n := range records {
		equal(t, get(t, s, "at once", fmt.Sprintf("%02d", n)).Revision, int64(writers-1))
	}
}

func wrong(t *testing.T, s archive.Store) {
	greater, err := labels.Parse("n>1")
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]archive.Query{
		"a cursor that is none": {Cursor: "!"}, "another": {Cursor: "YQ"}, "an operator": {Labels: greater},
	} {
		if _, err := s.List(t.Context(), q); !errors.Is(err, archive.ErrQuery) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, by := range [][]archive.Field{nil, {"document"}, {archive.ByCode, archive.ByCode,
		archive.ByCode, archive.ByCode}} {
		if _, err := s.Count(t.Context(), archive.Query{}, by); !errors.Is(err, archive.ErrQuery) {
			t.Errorf("by %v: %v", by, err)
		}
	}
	foreign := archive.Batch{Cluster: "a", Kind: archive.PodKind, Records: []archive.Record{aRecord("b", "1", 0)}}
	if err := s.Put(t.Context(), foreign); !errors.Is(err, archive.ErrRefused) {
		t.Errorf("a record of another cluster: %v", err)
	}
}

func stored(t *testing.T, s archive.Store) {
	put(t, s, aRecord("stored", "a", time.Hour), aRecord("stored", "b", time.Hour))
	got, err := s.Stored(t.Context(), "stored", 1, map[string]int64{"a": 10, "b": 11, "c": 1})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, map[string]bool{"a": true})
	// Of a restored cluster, nothing is stored before it is read anew.
	if got, err = s.Stored(t.Context(), "stored", 2, map[string]int64{"a": 1}); err != nil {
		t.Fatal(err)
	}
	equal(t, got, map[string]bool{})
}

func allOrNothing(t *testing.T, s archive.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := archive.Batch{Cluster: "nothing", Kind: archive.PodKind,
		Records: []archive.Record{aRecord("nothing", "a", 0)}, Reached: archive.Position{Epoch: 1, Revision: 9}}
	if err := s.Put(ctx, b); err == nil {
		t.Fatal("stored although its caller was gone")
	}
	p, err := s.Position(t.Context(), "nothing", archive.PodKind)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, p, archive.Position{})
	equal(t, uids(t, s, archive.Query{Cluster: "nothing"}), []string(nil))
}

func expiry(t *testing.T, s archive.Store) {
	const day = 24 * time.Hour
	put(t, s, aRecord("expiry", "old", 60*day), aRecord("expiry", "older", 90*day),
		aRecord("expiry", "same month", 15*day), aRecord("expiry", "new", day))
	if _, err := s.Expire(t.Context(), Now.Add(-10*day)); err != nil {
		t.Fatal(err)
	}
	equal(t, uids(t, s, archive.Query{Cluster: "expiry"}), []string{"new", "same month"})
	// What comes late, comes in.
	put(t, s, aRecord("expiry", "old", 60*day))
	equal(t, uids(t, s, archive.Query{Cluster: "expiry"}), []string{"new", "same month", "old"})
}

// byLabel is the field that is the value of a label.
func byLabel(key string) archive.Field { return archive.Field("label:" + key) }
