// Package aws asks Amazon EC2 why an instance is gone, with rights that only read.
//
// What it asks, in this order:
//   - ec2:DescribeInstances for the reason of the last change of state. EC2 knows an instance for
//     about an hour after its end.
//   - cloudtrail:LookupEvents for whoever called the API, if EC2 says that somebody did, or said
//     nothing. The log lags up to 15 minutes behind, and reaches 90 days back.
//   - ec2:GetConsoleOutput for the end of the console, if a panic of the kernel may explain more
//     than the answers so far.
//
// Only the first is required. What the codes of EC2 mean is data: reasons.yaml, each with its
// source.
//
// What this package does not do: decide what the answer means for a Node's reason, or when to ask
// again.
package aws
