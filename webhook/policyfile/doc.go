// Package policyfile follows the policy in the configuration file while the manager runs.
//
// It reads the file every few seconds: a kubelet replaces a mounted ConfigMap by another folder,
// which watches on files miss. A file that has changed is checked as a whole, as at the start. Only
// if nothing is wrong with it is its policy handed on; otherwise the old one stays, and a metric,
// the log and an Event say what is wrong. Every replica does this for itself.
//
// What this package does not do: take on anything but the policy. Of other sections that have
// changed, it only says that they need a restart.
package policyfile
