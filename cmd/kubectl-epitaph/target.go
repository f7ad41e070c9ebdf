package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// A target is what a command is about. Its group is that of an owner's kind.
type target struct {
	kind, group, name string
}

// kinds are what kubectl accepts for each kind.
var kinds = map[string][]string{
	"pod":         {"pod", "pods", "po"},
	"node":        {"node", "nodes", "no"},
	"job":         {"job", "jobs"},
	"cronjob":     {"cronjob", "cronjobs", "cj"},
	"deployment":  {"deployment", "deployments", "deploy"},
	"statefulset": {"statefulset", "statefulsets", "sts"},
	"daemonset":   {"daemonset", "daemonsets", "ds"},
	"replicaset":  {"replicaset", "replicasets", "rs"},
	"replicationcontroller": {"replicationcontroller", "replicationcontrollers",
		"rc"},
}

// ownerKinds are the kinds of Kubernetes that own pods, or what owns pods.
var ownerKinds = map[string]reason.Kind{
	"job": reason.JobKind, "cronjob": reason.CronJobKind, "deployment": reason.DeploymentKind,
	"statefulset": reason.StatefulSetKind, "daemonset": reason.DaemonSetKind,
	"replicaset":            reason.ReplicaSetKind,
	"replicationcontroller": reason.ReplicationControllerKind,
}

// anyOwner allows owners of other kinds, as KIND.GROUP.
const anyOwner = "KIND.GROUP"

// told are the targets whose story is told.
var told = []string{"pod", "node", "job", "cronjob", "deployment", "statefulset", "daemonset",
	"replicaset", "replicationcontroller", anyOwner}

// canonical returns the kind that a word names, if it is one of ours; else the word.
func canonical(word string) string {
	for kind, words := range kinds {
		if slices.Contains(words, strings.ToLower(word)) {
			return kind
		}
	}
	return word
}

// deletable are the kinds that the completion of "delete" offers; it takes any.
var deletable = []string{"pod", "node", "job", "cronjob", "deployment", "statefulset", "daemonset",
	"replicaset", "replicationcontroller", "namespace"}

// targetOf reads "pod/NAME", "pod NAME" or, of a pod, "NAME".
func targetOf(args []string, allowed ...string) (target, error) {
	text := strings.Join(args, "/")
	kind, name, ok := strings.Cut(text, "/")
	if !ok {
		kind, name = "pod", text
	}
	if name == "" || strings.Contains(name, "/") {
		return target{}, noTarget(text, allowed)
	}
	for _, k := range allowed {
		if slices.Contains(kinds[k], kind) {
			return target{k, ownerKinds[k].Group, name}, nil
		}
	}
	word, group, ok := strings.Cut(strings.ToLower(kind), ".")
	if !ok || word == "" || group == "" || !slices.Contains(allowed, anyOwner) {
		return target{}, noTarget(text, allowed)
	}
	return target{word, group, name}, nil
}

func noTarget(text string, allowed []string) error {
	return fmt.Errorf("%w: %q is none of %s/NAME", errUsage, text,
		strings.Join(allowed, "/NAME, "))
}

// owner returns the owner of pods that the target names.
func (t target) owner(namespace string) lookup.Owner {
	return lookup.Owner{Group: t.group, Resource: t.kind, Kind: ownerKinds[t.kind].Kind,
		Namespace: namespace, Name: t.name}
}

// String returns the target as it is given, without its namespace.
func (t target) String() string {
	if _, known := kinds[t.kind]; known || t.group == "" {
		return t.kind + "/" + t.name
	}
	return t.kind + "." + t.group + "/" + t.name
}
