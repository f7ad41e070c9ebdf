package arch

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What packages of the module cloud may import of ours. SDKs are the matter of sdks.
var cloudRules = map[string]rule{
	"cloud": {
		ours: []string{"api/v1alpha1", "cloud/aws", "cloud/azure", "cloud/explain", "cloud/gcp",
			"cloud/inquiry"},
		why: "who asks a cloud writes its answer into a record: who weighs, terminates or archives " +
			"is another program",
	},
	"cloud/explain": {ours: []string{"api/v1alpha1", "reason"},
		why: "what an answer is depends on no cloud"},
	"cloud/inquiry": {ours: []string{"api/v1alpha1", "reason", "cloud/explain"},
		why: "when somebody is asked does not depend on whom"},
	"cloud/aws": {ours: []string{"api/v1alpha1", "reason", "cloud/explain", "cloud/aws/records"},
		why: "a cloud knows neither another one nor who asks"},
	"cloud/aws/records": {ours: []string{"reason"}, std: noIO,
		why: "what is on record of an end is a function of bytes"},
	"cloud/azure": {ours: []string{"api/v1alpha1", "reason", "cloud/explain", "cloud/azure/records"},
		why: "a cloud knows neither another one nor who asks"},
	"cloud/azure/records": {ours: []string{"reason", "cloud/explain"}, std: noIO,
		why: "what is on record of an end is a function of values"},
	"cloud/gcp": {ours: []string{"api/v1alpha1", "cloud/explain", "cloud/gcp/records"},
		why: "a cloud knows neither another one nor who asks"},
	"cloud/gcp/records": {ours: []string{"reason", "cloud/explain"}, std: noIO,
		why: "what is on record of an end is a function of values"},
	"cloud/internal/documented": {others: []string{}, why: "it fills in replies for tests"},
}

// sdks are the clouds' libraries, by whom they belong to.
var sdks = map[string]string{
	"github.com/aws/":                    "cloud/aws",
	"github.com/Azure/azure-sdk-for-go/": "cloud/azure",
	"github.com/AzureAD/":                "cloud/azure",
	"cloud.google.com/":                  "cloud/gcp",
	"google.golang.org/api/":             "cloud/gcp",
}

func TestCloudKnowsRecordsOnly(t *testing.T) {
	t.Parallel()
	packages := listIn(t, "../../cloud", "./...")
	if len(packages) != len(cloudRules) {
		t.Errorf("%d packages in the module cloud, %d rules", len(packages), len(cloudRules))
	}
	for _, p := range packages {
		pkg := strings.TrimPrefix(p.ImportPath, module)
		r, ok := cloudRules[pkg]
		if !ok {
			t.Errorf("package %s has no rule: say in test/arch what it may import", pkg)
			continue
		}
		for _, imported := range p.Imports {
			if !r.allows(imported) {
				t.Errorf("%s must not import %s: %s", pkg, imported, r.why)
			}
			if owner := sdkOf(imported); owner != "" && owner != pkg {
				t.Errorf("%s must not import %s: that belongs to %s", pkg, imported, owner)
			}
		}
	}
}

func sdkOf(imported string) string {
	for prefix, owner := range sdks {
		if strings.HasPrefix(imported+"/", prefix) {
			return owner
		}
	}
	return ""
}

// required matches a line of go.mod that requires a module.
var required = regexp.MustCompile(`(?m)^\t?(?:require )?(\S+) v\S+`)

// The manager, the agent and the plugin are on every node and desk: no SDK of a cloud comes along.
func TestNoCloudInTheProduct(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	modules := required.FindAllStringSubmatch(string(file), -1)
	if !slices.ContainsFunc(modules, func(m []string) bool { return m[1] == "k8s.io/api" }) {
		t.Fatalf("go.mod requires %q", modules)
	}
	for _, m := range modules {
		if owner := sdkOf(m[1]); owner != "" {
			t.Errorf("go.mod requires %s: that belongs to the module of %s", m[1], owner)
		}
	}
}

func TestCloudRulesForbid(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ pkg, imported string }{
		"who asks terminates":        {"cloud", module + "termination"},
		"who asks archives":          {"cloud/inquiry", module + "archive"},
		"a cloud weighs":             {"cloud/aws", module + "audit"},
		"a cloud knows another":      {"cloud/azure", module + "cloud/aws"},
		"what is on record is asked": {"cloud/gcp/records", "net/http"},
	} {
		if cloudRules[tc.pkg].allows(tc.imported) {
			t.Errorf("%s: %s may import %s", name, tc.pkg, tc.imported)
		}
	}
	for imported, owner := range map[string]string{
		"github.com/aws/aws-sdk-go-v2/service/ec2": "cloud/aws", "google.golang.org/api/compute/v1": "cloud/gcp",
		"google.golang.org/api": "cloud/gcp", "google.golang.org/protobuf": "",
	} {
		if got := sdkOf(imported); got != owner {
			t.Errorf("%s belongs to %q, want %q", imported, got, owner)
		}
	}
}
