// Package recorder writes the obituaries of Pods: from the watch, once for each UID, none lost.
//
// One replica, the leader, has a watch of all Pods of its own: the shared cache (package podcache)
// keeps neither containers nor the last state of a pod deleted while its watch was broken. Only the
// DELETED events are kept, in a bounded queue; of living pods, nothing. While the queue is full,
// the watch is not read, so the API server holds back what follows, or breaks the watch off, and it
// is resumed where it was: nothing is dropped.
//
// How far the record is complete is itself on record (a revision, in a ConfigMap of ours), and the
// next leader goes on there. That one mechanism covers a failover, a restart and an API server that
// was away; standbys need not watch, because the API server keeps what they would keep. If its
// memory of events is too short (it was restarted itself, or nobody led for longer than a minute or
// so), the state of the cluster at that revision is compared with that of now, and the last state
// of each pod that is gone is looked up in history: etcd keeps five minutes of it. Only what is
// older than that, and pods that came and went meanwhile, is lost; that is counted and logged.
//
// The name of an obituary is derived from the pod, so writing it again finds it there.
//
// What this package does not do: terminate or annotate pods, or tell anybody's story (package
// story).
package recorder
