package wire

import "testing"

// The first is what Linux 7.3.4 sent (testdata/captures, sysrq-ext-7.3c-panic0).
func TestCaller(t *testing.T) {
	t.Parallel()
	const panicked = "Kernel panic - not syncing: sysrq triggered crash\n nodename=xyz\n token=s3cr3t\n"
	for name, tc := range map[string]struct {
		datagram, task string
		cpu            uint16
		ok             bool
	}{
		"Linux 7.3": {"0,377,5581801,-;" + panicked +
			" cpu=1\n taskname=init\n release=7.3.4+deb13-cloud-amd64\n msgid=4\n", "init", 1,
			true},
		"the release in front": {"7.0.1,0,377,5581801,-;" + panicked +
			" cpu=12\n taskname=kworker/3:1\n", "kworker/3:1", 12, true},
		"Linux 6.17": {"0,377,5581801,-;" + panicked +
			" cpu=1\n taskname=init\n release=6.17.0\n", "", 0, false},
		"a release in front of two": {"6.17.0,0,377,5581801,-;" + panicked +
			" cpu=1\n taskname=init\n release=7.3.4\n", "", 0, false},
		"no release": {"0,377,5581801,-;" + panicked + " cpu=1\n taskname=init\n",
			"", 0, false},
		"no CPU": {"7.0.1,0,377,5581801,-;" + panicked + " taskname=init\n", "",
			0, false},
		"no task": {"7.0.1,0,377,5581801,-;" + panicked + " cpu=1\n", "", 0,
			false},
		"no number": {"7.0.1,0,377,5581801,-;" + panicked +
			" cpu=one\n taskname=init\n", "", 0, false},
		"a name that is too long": {"7.0.1,0,377,5581801,-;" + panicked +
			" cpu=1\n taskname=sixteen-bytes-it\n", "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, parsed := ParseExtended([]byte(tc.datagram))
			if task, cpu, ok := r.Caller(); !parsed || task != tc.task || ok != tc.ok ||
				ok && cpu != tc.cpu {
				t.Errorf("%q on CPU %d, %t; want %q on %d, %t", task, cpu, ok, tc.task, tc.cpu,
					tc.ok)
			}
		})
	}
}
