// Package follow stores the records of a cluster in its archive as they are written.
//
// It reads each kind of obituary by a list in pages, then by a watch from the position that is
// stored with the records. What it guarantees:
//   - A record is stored once, whatever is killed and when: a batch and its position are stored
//     together, and what is read again after that is known to the store.
//   - What was there while a watch ran is stored, also if it is deleted at once. If the watch was
//     away for longer than the API server remembers (the larger of 100 events and 75 seconds of
//     them: its watch cache; at most five minutes: etcd's compaction), it lists anew: what came and
//     went within the gap is lost.
//   - A record that was handed over in Epitaph's own namespace, because that of its pod was being
//     deleted, is stored as one of the pod's namespace, and then removed from the cluster.
//   - A record that the store refuses for what is in it is left out, and does not hold up others.
//
// What this package does not do: remove anything else from the cluster (package audit/retention).
package follow
