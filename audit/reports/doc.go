// Package reports tells findings, which are deletions without a reason, to the tools that read
// reports of policies: one Report in each namespace for its Pods, and one ClusterReport for the
// Nodes, of OpenReports (openreports.io/v1alpha1) or of the API before it
// (wgpolicyk8s.io/v1alpha2).
//
// A report is a picture of the obituaries, which are the record: it is made anew of those that are
// there, whenever one of them came, changed or went, and now and then of all. So a finding that
// expires or is explained later leaves its report, a new leader needs to know nothing of the last
// one, and a report that somebody changed or removed comes back.
//
// What it costs is bounded: a namespace's report is written once in a while whatever is deleted,
// all reports together so many a second, and each has so many results and bytes at most. The
// recorder knows nothing of it. What is kept in memory are the names of namespaces.
//
// A report of our name that somebody else wrote is never touched. Every attempt ends in one
// outcome.
package reports
