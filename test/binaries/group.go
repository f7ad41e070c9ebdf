package binaries

import (
	"cmp"
	"path"
	"strings"
)

// A Group is a set of programs that are built together out of one nested module.
type Group struct {
	// Name is what people call the group: `sandbox build NAME`.
	Name string
	// Dir is the nested module's folder, relative to the checkout.
	Dir string
	// ModFile takes the place of the module's go.mod (and that of its go.sum, with the ending
	// .sum); it is mostly empty.
	ModFile string
	// Programs maps a program's file name to its package.
	Programs map[string]string
	// Sources are folders of the module whose files are built too, and hence are part of the key.
	Sources []string
	// LDFlags go to the linker.
	LDFlags string
	// Tags are build tags that leave out what is not needed; they are mostly none.
	Tags string
	// LeftOut is a file of each of these modules, by a path within it, that is built without: code
	// that nothing here calls, and that does not compile with the newest Kubernetes. There is mostly
	// none.
	LeftOut map[string]string
}

// modFiles are the group's go.mod and go.sum, relative to its module.
func (g Group) modFiles() (mod, sum string) {
	mod = cmp.Or(g.ModFile, "go.mod")
	return mod, strings.TrimSuffix(mod, ".mod") + ".sum"
}

// stripped leaves out symbol table and DWARF: 40 % of the size of programs that nobody debugs here.
const stripped = "-s -w"

// newest is the release that everything is tested with.
const newest = "1.37.2"

// older are the releases that are tested besides: the newest one of each minor version that the
// chart may be installed in. test/controlplane/versions/pin.sh writes their module files.
var older = []string{"1.33.13", "1.34.4", "1.35.4", "1.36.3"}

// stamp puts the release into the programs. Unstamped ones call themselves
// "v0.0.0-master+$Format:%H$", which charts with a kubeVersion refuse.
func stamp(release string) string {
	version := strings.Split(release, ".")
	return stripped +
		" -X k8s.io/component-base/version.gitVersion=v" + release +
		" -X k8s.io/component-base/version.gitMajor=" + version[0] +
		" -X k8s.io/component-base/version.gitMinor=" + version[1] +
		" -X k8s.io/component-base/version.gitTreeState=clean"
}

// ControlPlane is Kubernetes 1.37.2 with a cloud of our own.
var ControlPlane = Group{
	Name: "controlplane",
	Dir:  "test/controlplane",
	Programs: map[string]string{
		"etcd":                     "go.etcd.io/etcd/server/v3",
		"kube-apiserver":           "k8s.io/kubernetes/cmd/kube-apiserver",
		"kube-controller-manager":  "k8s.io/kubernetes/cmd/kube-controller-manager",
		"kube-scheduler":           "k8s.io/kubernetes/cmd/kube-scheduler",
		"kubectl":                  "k8s.io/kubernetes/cmd/kubectl",
		"cloud-controller-manager": "./cloud-controller-manager",
	},
	Sources: []string{"cloud-controller-manager"},
	LDFlags: stamp(newest),
}

// controlPlaneOf is the same programs of an older release, such as controlplane-1.33.
func controlPlaneOf(release string) Group {
	minor := release[:strings.LastIndex(release, ".")]
	group := ControlPlane
	group.Name += "-" + minor
	group.ModFile = "versions/v" + minor + ".mod"
	group.LDFlags = stamp(release)
	return group
}

// Kubelet is the real one, of the same release. It is a group of its own, with the requirements and
// the flags of ControlPlane: whoever has built that finds nearly all of it in Go's build cache.
var Kubelet = Group{
	Name:     "kubelet",
	Dir:      "test/kubelet",
	Programs: map[string]string{"kubelet": "k8s.io/kubernetes/cmd/kubelet"},
	LDFlags:  stamp(newest),
}

// Tools play the kubelets of nodes that have no containers.
var Tools = Group{
	Name:     "tools",
	Dir:      "test/tools",
	Programs: map[string]string{"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
	LDFlags:  stripped,
}

// ChartTools install the chart: Helm, and cert-manager's controllers in one process. Only the
// chart's tests ask for them.
var ChartTools = Group{
	Name:     "charttools",
	Dir:      "test/charttools",
	Programs: map[string]string{"helm": "helm.sh/helm/v4/cmd/helm", "certmanager": "./certmanager"},
	Sources:  []string{"certmanager"},
	LDFlags:  stripped + " -X helm.sh/helm/v4/internal/version.version=v4.3.1",
}

// PromTools test the chart's alerts: Prometheus' own promtool, without the clouds in which
// Prometheus would look for targets.
var PromTools = Group{
	Name:     "promtools",
	Dir:      "test/promtools",
	Programs: map[string]string{"promtool": "github.com/prometheus/prometheus/cmd/promtool"},
	LDFlags:  stripped,
	Tags:     "remove_all_sd",
}

// Karpenter provisions and disrupts nodes; its cloud is its own kwok provider, whose instances are
// Nodes that kwok plays.
var Karpenter = Group{
	Name:     "karpenter",
	Dir:      "test/karpenter",
	Programs: map[string]string{"karpenter": "sigs.k8s.io/karpenter/kwok"},
	LDFlags:  stripped,
}

// NPD is the node-problem-detector, without the exporter to Google's cloud. It is built without cgo
// as everything here is, so that its log monitors read files and /dev/kmsg but no journal.
var NPD = Group{
	Name: "npd",
	Dir:  "test/npd",
	Programs: map[string]string{
		"node-problem-detector": "k8s.io/node-problem-detector/cmd/nodeproblemdetector"},
	LDFlags: stripped,
	Tags:    "disable_stackdriver_exporter",
}

// Kueue admits jobs by quota.
var Kueue = Group{
	Name:     "kueue",
	Dir:      "test/kueue",
	Programs: map[string]string{"kueue": "sigs.k8s.io/kueue/cmd/kueue"},
	LDFlags:  stripped,
	// What it generates for OpenAPI names a type that k8s.io/api v0.37 has no more.
	LeftOut: map[string]string{
		"github.com/kubeflow/trainer/v2": "pkg/apis/trainer/v1alpha1/zz_generated.openapi.go"},
}

// JobSet is the controller of JobSets, which make several Jobs one.
var JobSet = Group{
	Name:     "jobset",
	Dir:      "test/jobset",
	Programs: map[string]string{"jobset": "sigs.k8s.io/jobset"},
	LDFlags:  stripped,
}

// EC2Metadata is EC2's own peer for tests: a metadata service that announces what it is told to.
var EC2Metadata = Group{
	Name: "ec2metadata",
	Dir:  "test/ec2metadata",
	Programs: map[string]string{
		"ec2-metadata-mock": "github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock"},
	LDFlags: stripped,
}

// OTelCollector is OpenTelemetry's collector, with no more than what receives OTLP and what prints
// it: two minutes of one core, once. The tag keeps the checks of every module from compiling it in
// their own way.
var OTelCollector = Group{
	Name:     "otelcollector",
	Dir:      "test/otelcollector",
	Programs: map[string]string{"collector": "./collector"},
	Sources:  []string{"collector"},
	LDFlags:  stripped,
	Tags:     "otelcollector",
}

// Registry is a container registry with TLS and a login, to which the image is pushed and from which
// a node pulls it.
var Registry = Group{
	Name:     "registry",
	Dir:      "test/registry",
	Programs: map[string]string{"registry": "./server"},
	Sources:  []string{"server"},
	LDFlags:  stripped,
}

// Containerd is containerd 2, for nodes of test/realnode; what a distribution has is mostly older.
var Containerd = Group{
	Name: "containerd",
	Dir:  "test/containerd",
	Programs: map[string]string{
		"containerd":              "github.com/containerd/containerd/v2/cmd/containerd",
		"containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
		"ctr":                     "github.com/containerd/containerd/v2/cmd/ctr",
	},
	LDFlags: stripped + " -X github.com/containerd/containerd/v2/version.Version=v2.4.2",
}

// Upstream is the part of Kubernetes' own end-to-end tests that test/conformance chooses from. The
// tag keeps the checks of every module from compiling all that these tests import.
var Upstream = Group{
	Name:     "upstream",
	Dir:      "test/upstream",
	Programs: map[string]string{"upstream-e2e": "./e2e"},
	Sources:  []string{"e2e"},
	LDFlags:  stamp(newest),
	Tags:     "upstream",
}

// Lint is the linter, and what finds code that nothing reaches; only the checks ask for them.
var Lint = Group{
	Name: "lint",
	Dir:  "test/lint",
	Programs: map[string]string{
		"golangci-lint": "github.com/golangci/golangci-lint/v2/cmd/golangci-lint",
		"deadcode":      "golang.org/x/tools/cmd/deadcode",
	},
	LDFlags: stripped,
}

// Groups are all there are, in the order in which they are built.
var Groups = append([]Group{ControlPlane, Tools, Kubelet, ChartTools, PromTools, Karpenter, NPD, Kueue,
	JobSet, EC2Metadata, OTelCollector, Registry, Containerd, Upstream, Lint}, controlPlanes()...)

// controlPlanes are those of the older releases, which nothing but `make test-versions` asks for.
func controlPlanes() (groups []Group) {
	for _, release := range older {
		groups = append(groups, controlPlaneOf(release))
	}
	return groups
}

// builtAs is the file name that `go build -o FOLDER/` gives to a package's program: the last
// element of its path that is not a major version.
func builtAs(pkg string) string {
	base := path.Base(pkg)
	if len(base) > 1 && base[0] == 'v' && base[1] >= '0' && base[1] <= '9' {
		return path.Base(path.Dir(pkg))
	}
	return base
}
