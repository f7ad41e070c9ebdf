package container

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Whoever builds with a container engine gets the images that make builds: the same programs, from
// the same modules, with the same flags, under the same user.
func TestDockerfileBuildsTheSame(t *testing.T) {
	t.Parallel()
	stages := stagesOf(t, "../Dockerfile")
	for _, of := range []Contents{Epitaph, Cloud} {
		t.Run(of.Repository, func(t *testing.T) {
			t.Parallel()
			stage := stages[of.Repository]
			if len(stage) != 4 {
				t.Fatalf("the stage %s is %q", of.Repository, stage)
			}
			from := strings.TrimPrefix(strings.Fields(stage[1])[1], "--from=")
			copied := []string{"COPY", "--from=" + from, "--chmod=0555"}
			var packages []string
			for _, p := range of.programs {
				copied = append(copied, "/out/"+p.name)
				packages = append(packages, p.pkg)
			}
			want := []string{"FROM scratch AS " + of.Repository,
				strings.Join(append(copied, "/"), " "), "USER " + nobody,
				`ENTRYPOINT ["/` + of.programs[0].name + `"]`}
			if !slices.Equal(stage, want) {
				t.Errorf("the stage is\n%s\nwant\n%s", strings.Join(stage, "\n"),
					strings.Join(want, "\n"))
			}
			builds := strings.Join(stages[from], "\n")
			for _, part := range []string{
				"CGO_ENABLED=0 ", " -trimpath -buildvcs=false -mod=readonly ",
				`-ldflags "-s -w -X main.version=$VERSION" -o /out/`,
				"\nWORKDIR " + strings.TrimSuffix("/src/"+of.module, "/.") + "\n",
			} {
				if !strings.Contains(builds, part) {
					t.Errorf("the stage %s has no %q", from, part)
				}
			}
			if !strings.HasSuffix(builds, " "+strings.Join(packages, " ")) {
				t.Errorf("the stage %s does not build %q last", from, packages)
			}
		})
	}
	if last := stages[""][0]; last != "FROM scratch AS "+Epitaph.Repository {
		t.Errorf("without a target, %q is built", last)
	}
}

// stagesOf returns the lines of a Dockerfile by the name of their stage, long ones joined and without
// comments. The last stage stands under "", too.
func stagesOf(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string][]string{}
	name := ""
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n    ", "")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "FROM ") {
			name = line[strings.LastIndex(line, " ")+1:]
		}
		stages[name] = append(stages[name], line)
	}
	stages[""] = stages[name]
	return stages
}
