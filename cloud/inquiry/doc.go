// Package inquiry asks the clouds why instances went, once for each record of a Node, and writes
// the answer into the record's status.
//
// Everything it needs to know is in the records, so that it goes on after a restart, and nothing is
// lost: a record is asked about at the times of a schedule, unless it has been since. Its queue
// holds names of records, each once, so that it is bounded by the records that the retention keeps.
//
// What it guarantees:
//   - It writes nothing but status.cloud, and only on the revision of the record that it has read.
//   - A call ends within a timeout, and calls are limited in rate; a cloud that wants to be left
//     alone is, for as long as it says.
//   - Nothing waits for it: the Node is gone, and its pods have gone their way.
//
// What this package does not do: know a cloud (explain.Asker does), or decide what an answer means
// (that is package aftermath, in the manager).
package inquiry
