package config

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// A Mode says what happens to a deletion that policy denies.
type Mode string

const (
	// EnforceMode denies it.
	EnforceMode Mode = "Enforce"
	// AuditMode allows it with a warning that kubectl shows.
	AuditMode Mode = "Audit"
)

// A FailurePolicy says what happens to a deletion when Epitaph itself fails.
type FailurePolicy string

const (
	// FailOpen allows it with a warning; the API server does not wait for a webhook that is away.
	FailOpen FailurePolicy = "Ignore"
	// FailClosed fails it.
	FailClosed FailurePolicy = "Fail"
)

// Webhook configures the admission webhook.
type Webhook struct {
	// Enabled registers the webhook and answers it.
	Enabled bool `json:"enabled"`
	// Address is the "host:port" to listen on.
	Address string `json:"address" validate:"required,hostport"`
	// CertDir holds tls.crt and tls.key; a change is noticed without a restart.
	CertDir string `json:"certDir" validate:"required"`
	// ClientCA, where set, is a file in CertDir with the certificates that may sign the API
	// server's client certificate: whoever else reaches the port is turned away by TLS.
	ClientCA string `json:"clientCA,omitempty" validate:"omitempty,excludesall=/\\"`
	// ClientNames are the common names of which that certificate must have one: for an authority
	// that also signs others', as that of a cluster does. Without any, each certificate that
	// ClientCA signs will do.
	ClientNames []string `json:"clientNames,omitempty" validate:"max=16,dive,required,max=64"`
	// Certificates are the names of cert-manager's Certificates, in Namespace, from which the one
	// in CertDir is made. What cert-manager says of them is told; without any, cert-manager is not
	// asked.
	Certificates []string `json:"certificates,omitempty" validate:"max=8,dive,required,dnsname"`
	// RenewedSecret is the Secret, in Namespace, from which the certificate in CertDir comes, if
	// nobody else renews it: then the leader does, and has the API server trust the new one before
	// it is served.
	RenewedSecret string `json:"renewedSecret,omitempty" validate:"omitempty,dnsname"`
	// Mode says what becomes of a deletion that policy denies: Enforce denies it, Audit allows it
	// with a warning.
	Mode Mode `json:"mode" validate:"oneof=Enforce Audit"`
	// FailurePolicy is also what the webhook configuration says to the API server.
	FailurePolicy FailurePolicy `json:"failurePolicy" validate:"oneof=Ignore Fail"`
	// WriteFirst has every reason written before the deletion is allowed, for policies that look
	// for it. With FailurePolicy Fail that is always so.
	WriteFirst bool `json:"writeFirst"`
	// Timeout is how long the API server waits for an answer (1 to 30 s).
	Timeout metav1.Duration `json:"timeout" validate:"mindur=1s,maxdur=30s"`
	// WriteTimeout bounds the one PATCH that is sent before the answer. It must be shorter than
	// Timeout.
	WriteTimeout metav1.Duration `json:"writeTimeout" validate:"mindur=50ms,maxdur=29s"`
	// NeverDeniedNamespaces are filled, whatever the rules say. Epitaph's own namespace is always
	// one of them.
	NeverDeniedNamespaces []string `json:"neverDeniedNamespaces" validate:"dive,required,dnslabel"`
	// Rules are tried in order, the first that matches decides. What none matches is filled.
	Rules []Rule `json:"rules" validate:"dive"`
	// CreatedReasons says what becomes of a reason that a pod carries when it is created: copied in
	// from a template or a backup, it is about another pod's end.
	CreatedReasons CreatedReasons `json:"createdReasons" validate:"oneof=Strip Refuse"`
	// LeftoverAfter is how long an object may live on with a reason that we wrote: its deletion was
	// refused or came to nothing, and the reason is taken off again.
	LeftoverAfter metav1.Duration `json:"leftoverAfter" validate:"mindur=5s,maxdur=1h"`
}

// WithPolicyOf returns w with the policy of other: its mode, its rules and the namespaces that are
// never denied. These may change while the manager runs; everything else is read when it starts.
func (w Webhook) WithPolicyOf(other Webhook) Webhook {
	w.Mode, w.Rules, w.NeverDeniedNamespaces = other.Mode, other.Rules, other.NeverDeniedNamespaces
	return w
}

// CreatedReasons says what happens to a reason that an object carries when it is created.
type CreatedReasons string

const (
	// StripReasons removes it and warns.
	StripReasons CreatedReasons = "Strip"
	// RefuseReasons refuses the pod.
	RefuseReasons CreatedReasons = "Refuse"
)

// An Action says what to do about a deletion without a reason.
type Action string

const (
	// Require denies it unless a reason can be inferred.
	Require Action = "Require"
	// Fill writes the inferred reason, else that there is none.
	Fill Action = "Fill"
	// Ignore lets it pass, and writes nothing.
	Ignore Action = "Ignore"
)

// A Rule decides about deletions that match everything it names. A list that is empty matches all.
type Rule struct {
	// Name appears in denials, audit annotations and metrics.
	Name string `json:"name" validate:"required,max=63,dnslabel"`
	// Actors is who deletes: Person, ServiceAccount, or System (nodes and control-plane
	// components).
	Actors []RuleActor `json:"actors,omitempty" validate:"dive,oneof=Person ServiceAccount System"`
	// Users are user names; a trailing * matches any ending.
	Users []string `json:"users,omitempty" validate:"dive,required"`
	// Groups are group names; a trailing * matches any ending.
	Groups []string `json:"groups,omitempty" validate:"dive,required"`
	// Namespaces are names of namespaces; a trailing * matches any ending. Nodes are in none.
	Namespaces []string `json:"namespaces,omitempty" validate:"dive,required"`
	// NamespaceSelector selects namespaces by their labels.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// Resources are pods, nodes, and owners: what pods belong to, such as Jobs, Deployments and
	// Namespaces. Without any, a rule is about pods and nodes.
	Resources []string `json:"resources,omitempty" validate:"dive,oneof=pods nodes owners"`
	// Operations are Delete and Evict.
	Operations []Operation `json:"operations,omitempty" validate:"dive,oneof=Delete Evict"`
	// Expression is a condition in CEL over user, groups, operation, resource, namespaceName,
	// namespaceLabels and object, the pod or node as JSON. An expression that fails at run time is
	// a fault of ours, never a rule that does not match.
	Expression string `json:"expression,omitempty" validate:"max=4096"`
	// Action is what becomes of a deletion without a reason: Require denies it unless one can be
	// inferred, Fill writes what can be inferred, else that nothing could, and Ignore writes
	// nothing.
	Action Action `json:"action" validate:"oneof=Require Fill Ignore"`
}

// An Operation is a way to remove an object.
type Operation string

const (
	// Delete is a DELETE of a pod or a node.
	Delete Operation = "Delete"
	// Evict is an eviction of a pod.
	Evict Operation = "Evict"
)

// A RuleActor is a kind of user.
type RuleActor string

const (
	// Person is everybody who is not one of the others.
	Person RuleActor = "Person"
	// ServiceAccount is any service account outside of kube-system.
	ServiceAccount RuleActor = "ServiceAccount"
	// System is a node, a control-plane component or a service account of kube-system: never
	// denied.
	System RuleActor = "System"
)

// DefaultRules require a reason of people and fill in everybody else's.
func DefaultRules() []Rule {
	return []Rule{
		{Name: "people-say-why", Actors: []RuleActor{Person}, Action: Require},
		{Name: "programs-are-filled-in", Action: Fill},
	}
}
