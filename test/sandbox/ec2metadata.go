package sandbox

import (
	"context"
	"fmt"
	"net"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

const ec2Metadata = "ec2-metadata-mock"

// StartEC2Metadata starts amazon-ec2-metadata-mock at an address, as a process that Stop ends. It
// demands a token (IMDSv2). The arguments begin with what it plays: spot, events or asglifecycle.
func (s *Sandbox) StartEC2Metadata(ctx context.Context, address string,
	args ...string) (*Process, error) {
	paths, err := binaries.Ensure(ctx, s.options.Out, binaries.EC2Metadata)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("start EC2's metadata service: %w", err)
	}
	args = append(args, "--imdsv2", "--hostname", host, "--port", port)
	return s.Launch(ec2Metadata+"-"+port, paths[ec2Metadata], args...)
}
