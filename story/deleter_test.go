package story

import "testing"

// The name in a reason is only what its writer claims.
func TestWhoDeletedStandsBesideWhoIsNamed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ by, deletedBy, want string }{
		{"", "", ""},
		{"alice", "alice", ". Terminated by alice"},
		{"", "alice", ". Terminated by alice"},
		{"alice for bob", "alice", ". Terminated by alice for bob"},
		{"alice", "alice for bob", ". Its reason names alice; alice for bob deleted it"},
		{"alice", "mallory", ". Its reason names alice; mallory deleted it"},
		{"alice", "", ". Its reason names alice; who deleted it is not known"},
		{"alice", "\x1b[2J", `. Its reason names alice; \x1b[2J deleted it`},
	} {
		if got := deleter(tc.by, tc.deletedBy); got != tc.want {
			t.Errorf("by %q, deleted by %q: %q, want %q", tc.by, tc.deletedBy, got, tc.want)
		}
	}
}
