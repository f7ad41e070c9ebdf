package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/config"
)

func TestNetconsoleBelievesLittleByDefault(t *testing.T) {
	t.Parallel()
	c, err := config.Parse([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	n := c.Netconsole
	if n.AcceptPlain || n.AcceptNodeNames || n.Brake.Nodes != 20 ||
		n.Brake.Window.Duration != 5*time.Minute || n.ProofOfDeath.Attempts != 3 {
		t.Errorf("defaults %+v", n)
	}
}

func TestNetconsoleRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ file, want string }{
		"an address without a port": {
			file: "netconsole: {address: 10.0.0.1}",
			want: `netconsole.address: is "10.0.0.1": write host:port or :port, for example :8080`,
		},
		"a proof without attempts": {
			file: "netconsole: {proofOfDeath: {attempts: 0}}",
			want: `netconsole.proofOfDeath.attempts: is "0": write at least 1`,
		},
		"a wait for renewals that is none": {
			file: "netconsole: {proofOfDeath: {missedRenewal: 0s}}",
			want: `netconsole.proofOfDeath.missedRenewal: is "0s": write at least 1s`,
		},
		"a mistyped switch": {
			file: "netconsole: {requirePriviledgedPort: true}",
			want: "netconsole.requirePriviledgedPort: no such field: did you mean netconsole.requirePrivilegedPort?",
		},
		"fewer dead nodes than none": {
			file: "netconsole: {brake: {nodes: -1}}",
			want: `netconsole.brake.nodes: is "-1": write at least 0`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse([]byte(tc.file))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}
