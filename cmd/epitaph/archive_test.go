package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/config"
)

func TestArchiveIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config.Default()
	c.Archive.Store, c.Archive.Path = config.SQLite, filepath.Join(dir, "archive.db")
	settings, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), c.Archive.Path, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	b := archive.Batch{Cluster: "a", Kind: archive.PodKind}
	for n, code := range []string{"Evicted", "KernelPanic", "Evicted"} {
		b.Records = append(b.Records, archive.Record{Cluster: "a", Kind: archive.PodKind,
			UID: fmt.Sprint(n), Epoch: 1, Revision: 1, Code: code,
			Removed: time.Date(2026, 11, 1+n, 0, 0, 0, 0, time.UTC), Labels: map[string]string{"team": code},
			Document: fmt.Appendf(nil, `{"n":%d}`, n)})
	}
	if err := store.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	store.Close()

	const first, second, third = `{"cluster":"a","record":{"n":0}}` + "\n",
		`{"cluster":"a","record":{"n":1}}` + "\n", `{"cluster":"a","record":{"n":2}}` + "\n"
	for args, want := range map[string]string{
		"list":                              third + second + first,
		"list --limit 2":                    third + second,
		"list --code KernelPanic":           second,
		"list --since 2026-11-03T00:00:00Z": third,
		"list -l team=Evicted --until 2026-11-03T00:00:00Z": first,
		"list --cluster b":         "",
		"list --kind Node":         "",
		"count":                    `{"of":["Evicted"],"n":2}` + "\n" + `{"of":["KernelPanic"],"n":1}` + "\n",
		"get a 1":                  `{"n":1}` + "\n",
		"count --by month,cluster": `{"of":["2026-11","a"],"n":3}` + "\n",
	} {
		var out bytes.Buffer
		if err := run(t.Context(), append([]string{"archive"}, append(strings.Fields(args),
			"--config", file)...), &out, &out); err != nil || out.String() != want {
			t.Errorf("archive %s: %v\n%s", args, err, out.String())
		}
	}
	for _, args := range []string{"list --kind Cat", "list --since yesterday", "list -l a=b=c",
		"list --nonsense", "get a"} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"archive"}, append(strings.Fields(args),
			"--config", file)...), &out, &out)
		if !errors.Is(err, errUsage) {
			t.Errorf("archive %s: %v", args, err)
		}
	}
}

// A policy is tried on what is on record: what it would have denied, and what cannot be told.
func TestPolicyIsReplayed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config.Default()
	c.Archive.Store, c.Archive.Path = config.SQLite, filepath.Join(dir, "archive.db")
	tried := config.Default()
	tried.Webhook.Rules = []config.Rule{
		{Name: "sre", Groups: []string{"sre"}, Namespaces: []string{"prod"}, Action: config.Fill},
		{Name: "people", Actors: []config.RuleActor{config.Person}, Action: config.Require}}
	files := map[string]string{}
	for name, of := range map[string]config.Config{"config.yaml": c, "policy.yaml": tried} {
		text, err := yaml.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = filepath.Join(dir, name)
		if err := os.WriteFile(files[name], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := sqlite.Open(t.Context(), c.Archive.Path, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(kind archive.Kind, records ...archive.Record) {
		b := archive.Batch{Cluster: "a", Kind: kind}
		for n, r := range records {
			r.Cluster, r.Kind, r.UID, r.Epoch = "a", kind, fmt.Sprint(kind, n), 1
			r.Removed = time.Date(2026, 11, 1, n, 0, 0, 0, time.UTC)
			b.Records = append(b.Records, r)
		}
		if err := store.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	of := func(namespace, spec string) archive.Record {
		return archive.Record{Document: []byte(`{"metadata":{"namespace":"` + namespace + `"},"spec":` +
			spec + `}`)}
	}
	const alice = `{"deletedBy":"alice","code":"Unexplained"}`
	put(archive.PodKind, of("batch", alice), of("batch", alice),
		of("batch", `{"deletedBy":"alice","code":"UserRequest"}`), of("prod", alice),
		of("batch", `{"code":"Unexplained"}`), of("batch", `"hostile"`),
		of("batch", `{"deletedBy":"alice","code":"KernelPanic","amended":{"was":"Unexplained"}}`))
	put(archive.NodeKind, of("", `{"deletedBy":"bob\u001b[2J","code":"Unexplained"}`),
		of("", `{"code":"KernelPanic","returned":true}`))
	put(archive.OwnerKind, of("batch", alice))
	store.Close()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"archive", "replay", "--config", files["config.yaml"],
		"--policy", files["policy.yaml"]}, &out, &out); err != nil {
		t.Fatal(err)
	}
	const want = `{"became":"denied","rule":"people","user":"alice","namespace":"batch","n":3}
{"became":"cannot be told","rule":"people","lacks":"who asked for it","n":1}
{"became":"cannot be told","rule":"sre","lacks":"the groups of the user","n":1}
{"became":"denied","rule":"people","user":"bob\u001b[2J","n":1}
{"became":"passed","n":1}
`
	if out.String() != want {
		t.Errorf("it says\n%s, want\n%s", out.String(), want)
	}
	err = run(t.Context(), []string{"archive", "replay", "--config", files["config.yaml"]}, &out, &out)
	if !errors.Is(err, errUsage) {
		t.Errorf("without a policy: %v", err)
	}
}
