package config_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/config"
)

func TestTokenIsOfOneBoot(t *testing.T) {
	t.Parallel()
	told := config.TokenAnnotation("boot-1", "secret")
	_, digits, _ := strings.Cut(told, ":")
	tests := map[string]struct {
		value, boot string
		want        bool
	}{
		"of this boot":                    {value: told, boot: "boot-1", want: true},
		"of an earlier boot":              {value: told, boot: "boot-2"},
		"of a node that tells of no boot": {value: ":" + digits, boot: ""},
		"without a boot":                  {value: digits, boot: "boot-1"},
		"too short":                       {value: told[:len(told)-2], boot: "boot-1"},
		"too long":                        {value: told + "00", boot: "boot-1"},
		"no digits": {value: "boot-1:" + strings.Repeat("x", len(digits)),
			boot: "boot-1"},
		"none":                             {boot: "boot-1"},
		"none, of a node without any boot": {},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hash, found := config.TokenOfBoot(tc.value, tc.boot)
			if found != tc.want ||
				found && hash != config.TokenHash(sha256.Sum256([]byte("secret"))) {
				t.Errorf("hash %x, found %t, want found %t", hash, found, tc.want)
			}
		})
	}
}
