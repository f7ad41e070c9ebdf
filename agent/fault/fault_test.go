package fault_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"syscall"
	"testing"

	"github.com/epitaph-k8s/epitaph/agent/fault"
)

// The codes are an interface: alerts name them.
func TestCodesAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []fault.Code
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\|").FindAllSubmatch(page,
		-1) {
		documented = append(documented, fault.Code(m[1]))
	}
	if !slices.Equal(documented, fault.Codes()) {
		t.Errorf("docs/agent.md has %v, the code %v", documented, fault.Codes())
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	f := fault.New(fault.NoRoute, syscall.ENETUNREACH, "find the route", "give it one")
	tests := map[string]struct {
		err  error
		want string
	}{
		"a fault": {f, "NoRoute: find the route: network is unreachable: give it one"},
		"one within others": {errors.Join(errors.New("x"), fmt.Errorf("y: %w", f)),
			"NoRoute: find the route: network is unreachable: give it one"},
		"something else": {syscall.EIO,
			"UnexpectedBehavior: unexpected error: input/output error"},
	}
	for name, tc := range tests {
		if got := fault.Of(tc.err); string(got.Code)+": "+got.Error() != tc.want {
			t.Errorf("%s: %s: %s, want %s", name, got.Code, got.Error(), tc.want)
		}
	}
	if !errors.Is(f, syscall.ENETUNREACH) {
		t.Error("the cause is lost")
	}
}
