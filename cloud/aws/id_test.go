package aws

import (
	"errors"
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const i = "i-0598c7d356eba48d7"
	for in, region := range map[string]string{
		"aws:///eu-west-1c/" + i: "eu-west-1", "aws://eu-west-1c/" + i: "eu-west-1",
		"aws:///us-gov-west-1a/" + i:           "us-gov-west-1",
		"aws:///us-west-2-lax-1a/" + i:         "us-west-2",
		"aws:///us-east-1-wl1-bos-wlz-1/" + i:  "us-east-1",
		"aws:///cn-north-1b/" + i:              "cn-north-1",
		"aws:///ap-southeast-1a/i-1a2b3c4d":    "ap-southeast-1",
		"aws:///eu-west-1c/5f3a/fargate-ip-10": "", "aws:////" + i: "", i: "", "": "",
		"aws:///eu-west-1/" + i: "", "aws:///eu-west-1c/" + i + "/x": "",
		"aws:///evil.example.com/" + i: "", "aws:///eu-west-1c/i-0598C7D356EBA48D7": "",
		"aws:///eu-west-1c/mi-0598c7d356eba48d7": "", "gce://p/z/n": "",
	} {
		got, err := parse(in)
		if got.region != region || errors.Is(err, explain.ErrNotOurs) != (region == "") {
			t.Errorf("%s: %q, %v, want %q", in, got.region, err, region)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(instance)
	f.Add("aws:///us-east-1-wl1-bos-wlz-1/i-1a2b3c4d")
	f.Add("aws:///eu-west-1c/5f3a/fargate-ip-10-0-0-1")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parse(s)
		if err != nil {
			if len(err.Error()) > 2048 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		// Both become parts of requests, and the region the name of a host.
		for _, part := range []string{got.region, got.instance} {
			if part == "" || len(part) > 64 ||
				strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("%q: %+v", s, got)
			}
		}
	})
}
