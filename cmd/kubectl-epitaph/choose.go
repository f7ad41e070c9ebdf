package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/reason"
)

// listChunk is how many objects of a selection are read at once, as kubectl does.
const listChunk = 500

// A choice says which objects a command is about, by kubectl's flags of the same names.
type choice struct {
	resource.FilenameOptions
	labels, fields string
	all            bool
}

// selects reports whether the objects are not named, but selected.
func (s choice) selects() bool { return s.all || s.labels != "" || s.fields != "" }

// A chosen object is one of those that a command is about.
type chosen struct {
	mapping *meta.RESTMapping
	key     client.ObjectKey
}

// kind is the kind as kubectl prints it: "pod", "deployment.apps".
func (o chosen) kind() string {
	kind := o.mapping.GroupVersionKind.GroupKind()
	kind.Kind = strings.ToLower(kind.Kind)
	return kind.String()
}

// String is for errors.
func (o chosen) String() string { return o.kind() + " " + o.key.Name }

func (o chosen) subject() reason.Subject {
	if o.mapping.GroupVersionKind.GroupKind() == reason.NodeKind {
		return reason.Node
	}
	return reason.Pod
}

// metadata is an empty object of that kind and name.
func (o chosen) metadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(o.mapping.GroupVersionKind)
	m.Name, m.Namespace = o.key.Name, o.key.Namespace
	return m
}

// choose reads the arguments as kubectl does, beside which a word that is no kind names a pod. What
// could not be found is among the errors; err is for what is wrong with the words.
func (p *plugin) choose(c *cluster.Cluster, args []string, s choice) (all []chosen, failed []error,
	err error) {
	known, err := c.Resources()
	if err != nil {
		return nil, nil, err
	}
	if len(args) == 1 && !s.selects() && !strings.ContainsAny(args[0], "/,") &&
		!known.Serves(args[0]) {
		args = []string{"pod/" + args[0]}
	}
	if err := p.namesItsNamespace(known, args, s); err != nil {
		return nil, nil, err
	}
	result := known.Builder().Unstructured().ContinueOnError().
		NamespaceParam(c.Namespace).DefaultNamespace().RequestChunksOf(listChunk).
		FilenameParam(p.flags.Namespace() != "", &s.FilenameOptions).
		LabelSelectorParam(s.labels).FieldSelectorParam(s.fields).SelectAllParam(s.all).
		ResourceTypeOrNameArgs(false, args...).RequireObject(false).Flatten().Do()
	if err := result.Err(); err != nil {
		return nil, nil, misread(known, args, err)
	}
	infos, err := result.Infos()
	for _, i := range infos {
		o := chosen{i.Mapping, client.ObjectKey{Namespace: i.Namespace, Name: i.Name}}
		if !slices.ContainsFunc(all, o.is) { // A name may be given twice.
			all = append(all, o)
		}
	}
	return all, cluster.Each(err), nil
}

func (o chosen) is(other chosen) bool {
	return o.key == other.key && o.mapping.Resource == other.mapping.Resource
}

// namesItsNamespace refuses --all in a namespace that nobody named: that of the context may be
// another than is thought.
func (p *plugin) namesItsNamespace(known *cluster.Resources, args []string, s choice) error {
	if !s.all || p.flags.Namespace() != "" || len(args) == 0 {
		return nil
	}
	for word := range strings.SplitSeq(args[0], ",") {
		m, err := known.Mapping(word)
		if err != nil || m.Scope.Name() == meta.RESTScopeNameNamespace {
			return fmt.Errorf("%w: --all takes all there are in a namespace: name it with -n",
				errUsage)
		}
	}
	return nil
}

// misread says what is wrong with the arguments. An error of the API server is none of theirs.
func misread(known *cluster.Resources, args []string, err error) error {
	for _, word := range kindsIn(args) {
		if known.Serves(word) {
			continue
		}
		err := fmt.Errorf("%w: there is no kind %q", errUsage, word)
		if near := nearest(word, known.Words()); near != "" {
			err = fmt.Errorf("%w: did you mean %s?", err, near)
		}
		return err
	}
	if remedy(err) != "" || answered(err) {
		return fmt.Errorf("find what is to be deleted: %w", err)
	}
	return fmt.Errorf("%w: %w", errUsage, err)
}

// kindsIn returns the words of the arguments that are to be kinds.
func kindsIn(args []string) (all []string) {
	for n, arg := range args {
		kind, _, named := strings.Cut(arg, "/")
		if named {
			all = append(all, kind)
		} else if n == 0 {
			all = append(all, strings.Split(arg, ",")...)
		}
	}
	return all
}

// notThere says why an object could not be read: if it is not there, what its name may have been
// meant to be.
func notThere(ctx context.Context, c *cluster.Cluster, o chosen, err error) error {
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("read %s: %w", o, err)
	}
	err = fmt.Errorf("%w: there is no %s", errNotFound, o)
	list := o.mapping.GroupVersionKind
	list.Kind += "List"
	if near := nearest(o.key.Name, names(ctx, c, list, o.key.Namespace)); near != "" {
		return fmt.Errorf("%w: did you mean %s?", err, near)
	}
	if _, err := targetOf([]string{o.kind(), o.key.Name}, told...); err != nil {
		return fmt.Errorf("%w: there is no %s", errNotFound, o)
	}
	return fmt.Errorf("%w: %q may know what became of it", err,
		"kubectl epitaph why "+o.kind()+"/"+o.key.Name)
}
