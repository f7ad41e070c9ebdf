// Package arch holds the import graph to the design: arrows go downwards only, edges do not know
// each other, and the pure core stays pure. A failure prints why the arrow is forbidden.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/epitaph-k8s/epitaph/"

// A rule says what one package of ours, and those below it, may import directly.
type rule struct {
	ours []string // packages of ours
	// prefixes of packages of others; nil allows everything but the standard library's banned ones
	others []string
	std    []string // packages of the standard library that are forbidden
	why    string
}

var (
	noIO = []string{"net", "net/http", "os", "os/exec", "log", "log/slog"}
)

var rules = map[string]rule{
	"reason": {
		// The YAML is part of the program: signals and users are data. Whether a pod fits a node is
		// a function of the two: the scheduler's own, which wants a logger; it gets one that
		// discards. What a Job's status says of its pods is read here, as what theirs says.
		others: []string{
			"k8s.io/api/batch/v1", "k8s.io/api/core/v1", "k8s.io/apimachinery/pkg/apis/meta/v1",
			"k8s.io/apimachinery/pkg/types", "sigs.k8s.io/yaml",
			"k8s.io/apimachinery/pkg/runtime/schema", // the names of kinds
			"k8s.io/component-helpers/scheduling/", "github.com/go-logr/logr",
		},
		std: noIO,
		why: "the core is a pure function of values: no client, no clock, no log",
	},
	"reason/kernel": {
		others: []string{"k8s.io/apimachinery/pkg/apis/meta/v1", "sigs.k8s.io/yaml"},
		std:    noIO,
		why:    "what a line means is a pure function of the lines so far: time is an argument",
	},
	"netconsole/wire": {
		others: []string{},
		std:    noIO,
		why:    "the parser faces the network: bytes and time are its arguments, and nothing of Kubernetes is in reach",
	},
	"config": {
		ours: []string{"reason", "reason/kernel"},
		others: []string{
			"github.com/go-playground/validator/v10", "sigs.k8s.io/yaml", "sigs.k8s.io/json",
			"k8s.io/apimachinery/pkg/apis/meta/v1", "k8s.io/apimachinery/pkg/util/validation",
		},
		why: "the configuration is a leaf of plain section types: no section knows the edge that reads it",
	},
	"api/v1alpha1": {
		others: []string{"k8s.io/apimachinery/", "sigs.k8s.io/controller-runtime/pkg/scheme"},
		why:    "API types carry no logic",
	},
	"termination": {
		ours: []string{"reason", "config", "internal/jsonpatch"},
		others: []string{
			"k8s.io/api/core/v1", "k8s.io/apimachinery/", "k8s.io/utils/",
			"sigs.k8s.io/controller-runtime/pkg/client",
		},
		why: "the only writer depends on the vocabulary, not on whoever calls it",
	},
	"internal/jsonpatch": {others: []string{}, std: noIO, why: "a patch is a value"},
	"internal/access": {
		others: []string{"k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/utils/clock"}, std: noIO,
		why: "what a user may do is asked in one place; whom it keeps out, its callers decide",
	},
	"internal/guard": {
		others: []string{"github.com/go-logr/logr",
			"github.com/prometheus/client_golang/prometheus", "k8s.io/client-go/tools/cache",
			"k8s.io/client-go/util/flowcontrol"},
		std: noIO,
		why: "what panicked is its worker's business: here it is counted and logged",
	},
	"internal/owners": {
		ours: []string{"reason"},
		others: []string{"k8s.io/api/core/v1", "k8s.io/apimachinery/", "k8s.io/utils/clock",
			"sigs.k8s.io/controller-runtime/pkg/client", "github.com/go-logr/logr"},
		std: noIO,
		why: "what stands above a pod is read in one place; what it means, its readers say",
	},
	"internal/pause": {
		others: []string{"k8s.io/utils/clock"}, std: noIO,
		why: "a pause knows a clock and a context",
	},
	"podcache": {
		ours: []string{"api/v1alpha1"},
		others: []string{"k8s.io/api/core/v1", "k8s.io/apimachinery/",
			"k8s.io/client-go/tools/cache"},
		why: "how objects are kept is client-go's business alone: what is read of them is an argument",
	},
	"audit": {ours: []string{"reason", "config", "api/v1alpha1", "audit/obituary",
		"internal/guard"},
		why: "the audit watches; it must not be able to terminate"},
	"audit/obituary": {
		ours: []string{"reason", "reason/kernel/trace", "api/v1alpha1", "story"},
		others: []string{"k8s.io/api/core/v1", "k8s.io/apimachinery/pkg/apis/meta/v1",
			"k8s.io/apimachinery/pkg/types", "k8s.io/apimachinery/pkg/util/validation",
			"k8s.io/apimachinery/pkg/api/resource",
			"k8s.io/component-helpers/resource", "k8s.io/utils/ptr"},
		std: noIO,
		why: "what is written of a pod is a pure function of its last state, and its verdict is the one " +
			"that people are told: no client, no clock",
	},
	"audit/announce": {
		ours: []string{"reason", "audit", "internal/guard"},
		why:  "who tells of ends knows neither who records them nor the records",
	},
	"audit/recorder": {
		ours: []string{"reason", "config", "api/v1alpha1", "audit", "audit/announce", "audit/obituary",
			"internal/guard", "internal/owners", "internal/pause"},
		why: "the recorder watches and writes records; it must not be able to terminate",
	},
	"audit/retention": {
		ours: []string{"reason", "config", "api/v1alpha1", "audit", "internal/guard"},
		why:  "what is too much goes whoever wrote it: writers are not known here",
	},
	"charts": {others: []string{}, std: noIO, why: "files of the chart, and nothing that reads them"},
	"audit/definitions": {
		ours: []string{"reason", "api/v1alpha1", "audit", "internal/guard", "internal/pause"},
		why:  "what the API server lacks concerns all readers and writers alike: none is known here",
	},
	"audit/reports": {
		ours: []string{"reason", "config", "api/v1alpha1", "audit", "audit/obituary",
			"internal/guard", "internal/owners", "internal/pause"},
		others: []string{
			"github.com/openreports/reports-api/apis/openreports.io/v1alpha1", "k8s.io/api/core/v1",
			"k8s.io/apimachinery/", "k8s.io/client-go/tools/cache",
			"k8s.io/client-go/util/", "k8s.io/utils/", "sigs.k8s.io/controller-runtime/pkg/cache",
			"sigs.k8s.io/controller-runtime/pkg/client",
			"github.com/prometheus/client_golang/prometheus", "github.com/go-logr/logr",
		},
		why: "reports are made of records: they know neither who records nor who terminates",
	},
	"story": {
		ours: []string{"reason", "api/v1alpha1"},
		others: []string{"k8s.io/api/batch/v1", "k8s.io/api/core/v1",
			"k8s.io/apimachinery/pkg/apis/meta/v1", "k8s.io/apimachinery/pkg/types"},
		std: noIO,
		why: "what a person is told is a pure function of records: no client, no clock, no terminal",
	},
	"story/lookup": {
		ours: []string{"reason", "api/v1alpha1", "audit/obituary", "story"},
		others: []string{"k8s.io/api/", "k8s.io/apimachinery/",
			"sigs.k8s.io/controller-runtime/pkg/client"},
		std: noIO,
		why: "who tells of records reads them, and writes nothing",
	},
	"story/toll": {
		ours: []string{"api/v1alpha1", "audit/obituary"}, others: []string{}, std: noIO,
		why: "what an end cost is a pure function of records: who finds them, sums them up with it",
	},
	"httpsserver": {
		others: []string{"github.com/go-logr/logr", "golang.org/x/sync/errgroup"},
		why:    "what strangers may hold is bounded without knowing what they are answered",
	},
	"page": {
		ours: []string{"reason", "config", "api/v1alpha1", "story/lookup", "story/toll", "story",
			"httpsserver", "internal/access", "archive", "archive/ask", "archive/rates",
			"archive/replay"},
		others: []string{
			"k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/utils/",
			"sigs.k8s.io/controller-runtime/pkg/client",
			"sigs.k8s.io/controller-runtime/pkg/certwatcher",
			"github.com/prometheus/client_golang/prometheus",
			"github.com/go-logr/logr", "golang.org/x/sync/errgroup",
			"k8s.io/client-go/tools/cache", // its reflector keeps what the lists show
		},
		why: "the page reads in the name of its visitors; it writes nothing, and knows no edge",
	},
	"reason/kernel/trace": {
		others: []string{"sigs.k8s.io/yaml"}, std: noIO,
		why: "where a kernel crashed is a pure function of its lines",
	},
	"archive": {
		ours: []string{"api/v1alpha1", "audit/obituary"},
		others: []string{"k8s.io/apimachinery/pkg/apis/meta/v1", "k8s.io/apimachinery/pkg/labels",
			"sigs.k8s.io/controller-runtime/pkg/client"},
		std: append([]string{"database/sql"}, noIO...),
		why: "what is kept is said without a database and without an API server",
	},
	"archive/ask": {
		ours: []string{"archive", "reason"}, others: []string{},
		std: []string{"database/sql", "os", "os/exec"},
		why: "who asks brings the user's credentials along; what may be known, the archive says",
	},
	"archive/rates": {
		ours: []string{"archive", "reason"}, others: []string{}, std: noIO,
		why: "a rate is a pure function of what was counted: whoever asks, joins it in one way",
	},
	"archive/replay": {
		ours: []string{"archive", "api/v1alpha1", "config", "reason", "webhook"}, others: []string{},
		std: noIO,
		why: "what a policy would have done is a pure function of the records: whoever reads them",
	},
	"archive/sqlquery": {
		ours: []string{"archive"},
		others: []string{"k8s.io/apimachinery/pkg/labels", "k8s.io/apimachinery/pkg/selection",
			"k8s.io/apimachinery/pkg/util/validation"},
		std: append([]string{"database/sql"}, noIO...),
		why: "the text of a statement is a pure function of a query",
	},
	"archive/serve": {
		ours: []string{"archive", "api/v1alpha1"},
		others: []string{"k8s.io/api/", "k8s.io/apimachinery/pkg/labels",
			"k8s.io/apiserver/pkg/authentication/", "github.com/go-logr/logr",
			"github.com/prometheus/client_golang/prometheus"},
		std: []string{"database/sql", "os", "os/exec"},
		why: "who answers about a store knows neither which it is, nor who says whether they may ask",
	},
	"archive/follow": {
		ours: []string{"archive", "api/v1alpha1", "internal/guard", "internal/pause",
			"reason"}, // the name of a label
		others: []string{"k8s.io/apimachinery/", "k8s.io/utils/clock", "k8s.io/utils/ptr",
			"sigs.k8s.io/controller-runtime/pkg/client", "github.com/go-logr/logr",
			"github.com/prometheus/client_golang/prometheus", "golang.org/x/sync/errgroup"},
		std: append([]string{"database/sql"}, noIO...),
		why: "who follows a cluster knows that there is a store, not which",
	},
	"archive/forward": {
		ours: []string{"archive", "archive/forward/endpoint", "internal/guard", "internal/pause"},
		others: []string{"k8s.io/apimachinery/pkg/util/wait", "k8s.io/utils/clock",
			"github.com/go-logr/logr", "github.com/prometheus/client_golang/prometheus",
			"golang.org/x/sync/errgroup"},
		std: append([]string{"database/sql"}, noIO...),
		why: "what is sent to whom is decided without a format, and without a store of one kind",
	},
	"archive/forward/endpoint": {
		ours: []string{"reason"}, // how words of others are cleaned
		others: []string{"golang.org/x/crypto/x509roots/fallback/bundle",
			"golang.org/x/net/http/httpguts", "k8s.io/utils/clock"},
		std: []string{"database/sql", "os/exec", "log", "log/slog"},
		why: "who sends a request does not know what is in it",
	},
	"archive/forward/cloudevent": {
		ours:   []string{"archive", "archive/forward", "archive/forward/endpoint"},
		others: []string{"github.com/cloudevents/sdk-go/v2/event"},
		std:    append([]string{"database/sql"}, noIO...), why: "a format is a function of records",
	},
	"archive/forward/message": {
		ours: []string{"archive", "archive/forward", "archive/forward/endpoint"}, others: []string{},
		std: append([]string{"database/sql"}, noIO...), why: "a format is a function of records",
	},
	"archive/forward/otlplog": {
		ours: []string{"archive", "archive/forward", "archive/forward/endpoint", "reason"},
		others: []string{"go.opentelemetry.io/proto/otlp/", "google.golang.org/protobuf/proto",
			"k8s.io/utils/clock"},
		std: append([]string{"database/sql"}, noIO...), why: "a format is a function of records",
	},
	"archive/postgres": {
		ours: []string{"archive", "archive/sqlquery"},
		others: []string{"github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/pgconn",
			"github.com/jackc/pgx/v5/pgtype",
			"github.com/jackc/pgx/v5/pgxpool", "github.com/jackc/pgx/v5/stdlib",
			"github.com/pressly/goose/v3", "github.com/pressly/goose/v3/lock",
			"k8s.io/utils/clock"},
		std: noIO, why: "a store knows its database, and nothing of a cluster",
	},
	"archive/sqlite": {
		ours: []string{"archive", "archive/sqlquery"},
		others: []string{"modernc.org/sqlite", "modernc.org/sqlite/lib", "github.com/pressly/goose/v3",
			"k8s.io/utils/clock"},
		std: noIO, why: "a store knows its database, and nothing of a cluster",
	},
	"aftermath": {ours: append(edge(), "audit/obituary"), why: "edges do not know each other"},
	"webhook": {ours: append(edge(), "httpsserver", "audit/obituary", "internal/access",
		"internal/owners"),
		why: "edges do not know each other"},
	"webhook/policyfile": {
		ours: []string{"config", "reason", "audit", "internal/guard"},
		why:  "who follows a file does not know who decides by what is in it",
	},
	"webhook/policytest": {
		ours: []string{"webhook", "config", "reason", "audit", "api/v1alpha1", "podcache"},
		why:  "what would be decided is asked of the webhook itself, without an API server",
	},
	"gc": {ours: edge(), why: "edges do not know each other"},
	"netconsole": {ours: append(edge(), "netconsole/wire", "reason/kernel"),
		why: "edges do not know each other"},
	"agent": {
		ours: append(edge(), "agent/configfs", "agent/fault", "agent/lastboot", "agent/listeners",
			"agent/route", "agent/watchdog"),
		why: "edges do not know each other",
	},
	"agent/crash": {
		ours: []string{"reason"}, others: []string{}, std: []string{"net", "net/http", "os/exec"},
		why: "what a kernel left is read from files, and believed for nothing else",
	},
	"agent/lastboot": {
		ours: []string{"agent/crash", "agent/resetreason"}, others: []string{},
		std: []string{"net", "net/http", "os/exec"},
		why: "how a boot ended is found out without the network and without Kubernetes",
	},
	"agent/resetreason": {
		ours: []string{}, others: []string{}, std: []string{"net", "net/http", "os/exec"},
		why: "what a machine says of its last boot is read from files",
	},
	"agent/watchdog": {others: []string{}, std: []string{"net", "net/http", "os/exec"},
		why: "watchdogs are files of the kernel"},
	"agent/configfs": {
		ours: []string{"agent/fault"}, others: []string{"golang.org/x/sys/unix"},
		std: []string{"net/http", "os/exec"},
		why: "what the kernel has is no business of the network or of Kubernetes",
	},
	"agent/route": {
		ours: []string{"agent/fault", "internal/pause"},
		others: []string{
			"github.com/vishvananda/netlink", "github.com/vishvananda/netlink/nl",
			"golang.org/x/sys/unix", "github.com/go-logr/logr", "k8s.io/utils/",
		},
		why: "the way to an address is the kernel's business alone",
	},
	"agent/listeners": {
		others: []string{"k8s.io/api/core/v1", "k8s.io/api/discovery/v1"}, std: noIO[1:],
		why: "who is chosen is a pure function of who is there",
	},
	"agent/shutdown": {
		ours: []string{"reason", "termination", "config", "agent/fault", "agent/shutdown/ledger",
			"agent/shutdown/logind", "agent/shutdown/process", "internal/pause"},
		others: []string{
			"k8s.io/api/core/v1", "k8s.io/apimachinery/pkg/types", "k8s.io/utils/clock",
			"sigs.k8s.io/controller-runtime/pkg/client", "github.com/go-logr/logr",
		},
		std: []string{"net", "net/http", "os", "os/exec"},
		why: "who switches a machine off is decided from what is heard: bus, processes and button are its arguments",
	},
	"agent/shutdown/ledger": {
		ours: []string{"reason", "agent/shutdown/logind"}, others: []string{},
		std: append([]string{"context", "sync"}, noIO...),
		why: "who caused a shutdown is a pure function of events, callers and times: of logind, it knows the events",
	},
	"agent/shutdown/logind": {
		ours: []string{"agent/shutdown/logind/wire"}, others: []string{"golang.org/x/sys/unix"},
		std: []string{"net/http", "os/exec"},
		why: "what is said on the bus is no business of Kubernetes, and a library that ends over what others send there would be the end of the agent",
	},
	"agent/shutdown/logind/wire": {others: []string{}, std: noIO[1:],
		why: "what a message says is a pure function of its bytes"},
	"agent/shutdown/process": {others: []string{}, std: []string{"net", "net/http", "os/exec"},
		why: "what the kernel has in /proc is no business of Kubernetes"},
	"agent/shutdown/button": {
		others: []string{"github.com/vishvananda/netlink", "golang.org/x/sys/unix"},
		std:    []string{"net/http", "os/exec"},
		why:    "what the kernel says of its buttons is no business of Kubernetes",
	},
	"agent/metadata": {
		ours: []string{"reason", "termination", "config", "agent/fault", "internal/pause"},
		others: []string{
			"k8s.io/api/core/v1", "k8s.io/apimachinery/pkg/types", "k8s.io/utils/clock",
			"sigs.k8s.io/controller-runtime/pkg/client", "github.com/go-logr/logr",
		},
		std: []string{"os", "os/exec"},
		why: "what a cloud announces is asked by plain HTTP: its libraries would be the agent's, on every node",
	},
	"agent/fault": {others: []string{}, std: noIO, why: "a fault is words"},
	"certs": {
		ours: []string{"reason", "internal/guard"},
		others: []string{
			"github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1",
			"github.com/cert-manager/cert-manager/pkg/apis/meta/v1", "github.com/go-logr/logr",
			"k8s.io/api/admissionregistration/v1", "k8s.io/api/core/v1",
			"k8s.io/apimachinery/pkg/api/errors", "k8s.io/apimachinery/pkg/api/meta",
			"k8s.io/apimachinery/pkg/apis/meta/v1", "k8s.io/utils/clock",
			"github.com/prometheus/client_golang/prometheus",
			"sigs.k8s.io/controller-runtime/pkg/certwatcher",
			"sigs.k8s.io/controller-runtime/pkg/client",
			"sigs.k8s.io/controller-runtime/pkg/healthz",
		},
		why: "certificates are no business of the edges",
	},
	"cmd/kubectl-epitaph/terminal": {
		others: []string{"golang.org/x/term", "sigs.k8s.io/yaml"}, ours: []string{"reason"},
		std: []string{"net", "net/http", "os/exec"},
		why: "how something is written for people does not depend on what it is",
	},
	"cmd/kubectl-epitaph/cluster": {
		ours: []string{"api/v1alpha1", "story/lookup", "archive", "archive/ask"},
		why:  "how the API server and the archive are found is no business of a command",
	},
	"cmd/kubectl-epitaph/evictor": {
		ours: []string{"reason"}, others: []string{"k8s.io/api/", "k8s.io/apimachinery/",
			"k8s.io/client-go/kubernetes", "k8s.io/client-go/kubernetes/",
			"sigs.k8s.io/controller-runtime/pkg/client"},
		std: []string{"os", "os/exec"},
		why: "saying why on an eviction needs a client and the words, and no command line",
	},
	"cmd/kubectl-epitaph/doctor": {
		ours: []string{"reason", "api/v1alpha1", "agent/fault", "termination",
			"cmd/kubectl-epitaph/terminal"},
		others: []string{
			"k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/client-go/discovery",
			"k8s.io/client-go/rest", "k8s.io/utils/",
			"sigs.k8s.io/controller-runtime/pkg/client", "sigs.k8s.io/yaml",
		},
		std: []string{"os", "os/exec"},
		why: "an installation can be examined without the command line: flags, files and what is printed are its callers'",
	},
}

func edge() []string {
	return []string{
		"reason", "termination", "audit", "config", "api/v1alpha1", "internal/jsonpatch",
		"internal/guard", "internal/pause",
	}
}

// free may import anything of ours, unless a rule says otherwise: programs wire, tests test.
func free(pkg string) bool {
	return strings.HasPrefix(pkg, "cmd/") || strings.HasPrefix(pkg, "test/")
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	return listIn(t, "../..", args...)
}

// listIn lists packages of the module in a folder.
func listIn(t *testing.T, dir string, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go",
		append([]string{"list", "-json=ImportPath,Imports,Deps,Standard"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

func TestArrowsGoDownwards(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		pkg := strings.TrimPrefix(p.ImportPath, module)
		r, ok := rules[pkg]
		if !ok && free(pkg) {
			continue
		}
		if !ok {
			t.Errorf(
				"package %s has no rule: say in test/arch what it may import, and in CONTRIBUTING why it exists", pkg)
			continue
		}
		for _, imported := range p.Imports {
			if !r.allows(imported) {
				t.Errorf("%s must not import %s: %s", pkg, imported, r.why)
			}
		}
	}
}

func (r rule) allows(imported string) bool {
	if ours, ok := strings.CutPrefix(imported, module); ok {
		return slices.Contains(r.ours, ours)
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return !slices.Contains(r.std, imported)
	}
	return r.others == nil || slices.ContainsFunc(r.others, func(prefix string) bool {
		return imported == prefix || strings.HasSuffix(prefix, "/") &&
			strings.HasPrefix(imported, prefix)
	})
}

// The direct lists cannot see what a dependency drags in: these must not come in at all.
func TestPureCoreNeedsNoClient(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./reason", "./netconsole/wire", "./story", "./audit/obituary") {
		for _, dep := range p.Deps {
			if strings.HasPrefix(dep, "k8s.io/client-go") ||
				strings.HasPrefix(dep, "sigs.k8s.io/controller-runtime") {
				t.Errorf("%s depends on %s: the pure core must be usable without a cluster",
					p.ImportPath, dep)
			}
		}
	}
}

// Databases, and the formats of other systems, are the archive's business: nobody else comes to
// depend on one.
func TestDatabasesAndFormatsBelongToTheArchive(t *testing.T) {
	t.Parallel()
	owners := map[string][]string{
		"github.com/jackc/pgx/":     {"archive/postgres"},
		"github.com/pressly/goose/": {"archive/postgres", "archive/sqlite"},
		"modernc.org/":              {"archive/sqlite"},
		"database/sql":              {"archive/sqlite"},
		"github.com/cloudevents/":   {"archive/forward/cloudevent"},
		"go.opentelemetry.io/":      {"archive/forward/otlplog"},
		"golang.org/x/crypto/":      {"archive/forward/endpoint"},
		module + "archive/forward":  {"archive/forward", "cmd/epitaph"},
		module + "archive/postgres": {"cmd/epitaph"},
		module + "archive/sqlite":   {"cmd/epitaph"},
	}
	for _, p := range list(t, "./...") {
		pkg := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(pkg, "test/") {
			continue
		}
		for _, imported := range p.Imports {
			for prefix, may := range owners {
				if strings.HasPrefix(imported+"/", strings.TrimSuffix(prefix, "/")+"/") &&
					!slices.Contains(may, pkg) && !slices.Contains(may, path.Dir(pkg)) {
					t.Errorf("%s must not import %s: that belongs to %s", pkg, imported,
						strings.Join(may, " and "))
				}
			}
		}
	}
}

func TestRulesForbid(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ pkg, imported string }{
		"an edge imports another edge": {"gc", module + "webhook"},
		"the core reads files":         {"reason", "os"},
		"the parser knows Kubernetes":  {"netconsole/wire", "k8s.io/api/core/v1"},
		"the audit can terminate":      {"audit", module + "termination"},
		"the recorder can terminate":   {"audit/recorder", module + "termination"},
		"reports can terminate":        {"audit/reports", module + "termination"},
		"reports know the recorder":    {"audit/reports", module + "audit/recorder"},
		"a reader knows the recorder":  {"story/lookup", module + "audit/recorder"},
		"the page knows who records":   {"page", module + "audit"},
		"a recorder tells stories":     {"audit/recorder", module + "story"},
		"a story reads the cluster":    {"story", "sigs.k8s.io/controller-runtime/pkg/client"},
		"the doctor knows flags":       {"cmd/kubectl-epitaph/doctor", "github.com/spf13/cobra"},
		"the writer knows an edge":     {"termination", module + "gc"},
		"the core calls the API":       {"reason", "k8s.io/client-go/kubernetes"},
		"a store knows the cluster":    {"archive/postgres", "sigs.k8s.io/controller-runtime/pkg/client"},
		"queries know a database":      {"archive/sqlquery", "database/sql"},
		"a receiver knows a store":     {"archive/forward", "database/sql"},
		"a format logs":                {"archive/forward/message", "github.com/go-logr/logr"},
		"the ledger waits":             {"agent/shutdown/ledger", module + "internal/pause"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if rules[tc.pkg].allows(tc.imported) {
				t.Errorf("%s may import %s", tc.pkg, tc.imported)
			}
		})
	}
}
