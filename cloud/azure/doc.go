// Package azure asks Azure why a machine is gone, with rights that only read.
//
// What it asks, in this order:
//   - Resource Graph for the health annotations of the machine, which Azure keeps for 14 days: that
//     it was preempted, that its host failed or is maintained, that it crashed.
//   - The activity log, unless an annotation explains the end, for whoever deleted, deallocated or
//     restarted it. The log lags up to 20 minutes behind, and reaches 90 days back. A machine of a
//     scale set is mostly deleted by a call to its set.
//
// Either may be refused. What annotations, operations and callers mean is data: annotations.yaml,
// operations.yaml and callers.yaml, each with its source.
//
// What this package does not do: decide what the answer means for a Node's reason, or when to ask
// again.
package azure
