// Package reports makes findings, which are deletions without a reason, available to tools that
// read policy reports: one Report in each namespace for its Pods, and one ClusterReport for the
// Nodes, of OpenReports (openreports.io/v1alpha1) or of the API before it
// (wgpolicyk8s.io/v1alpha2).
//
// A report is a view of the obituaries, which are the record. It is made anew from the existing
// ones whenever one came, changed or went, and periodically. So a finding that expires or is
// explained later leaves its report, a new leader needs to know nothing of the last one, and a
// report that somebody changed or removed is restored.
//
// Its cost is bounded: a namespace's report is written only once in a while, whatever is deleted,
// all reports together only so many times a second, and each has a maximum of results and bytes.
// The recorder knows nothing of it. Only the names of namespaces are kept in memory.
//
// A report of our name that somebody else wrote is never touched. Every attempt ends in one
// outcome.
package reports
