package trace

import "testing"

func TestPanicIn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		console []string
		want    string
	}{
		"nothing": {},
		"a panic at its end": {[]string{
			"[    0.000000] Linux version 6.12.1", "[  812.104501] Kernel panic - not syncing: Fatal exception in interrupt",
			"[  812.204501] ---[ end Kernel panic - not syncing: Fatal exception in interrupt ]---"},
			"Fatal exception in interrupt"},
		"without times": {[]string{"Kernel panic - not syncing: sysrq triggered crash "}, "sysrq triggered crash"},
		"the panic of an earlier boot": {[]string{"[  812.104501] Kernel panic - not syncing: Fatal exception",
			"[    0.000000] Linux version 6.12.1", "[    1.000000] systemd[1]: hello"}, ""},
		"user space speaks of one": {[]string{"[  9.000000] app[1]: Kernel panic - not syncing: no"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := PanicIn(tt.console); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
