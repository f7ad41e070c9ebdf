package archive

import "encoding/json"

// How records are read over the network: GET /v1/{pods,nodes,owners}.

// An Item is a record of a cluster, as its API server had it.
type Item struct {
	Cluster string          `json:"cluster"`
	Record  json.RawMessage `json:"record"`
}

// A List is a page of records, the newest first.
type List struct {
	Items []Item `json:"items"`
	// Next is the cursor of the next page; empty on the last.
	Next string `json:"next,omitempty"`
}

// Counts are numbers of records: GET /v1/counts/{pods,nodes,owners}.
type Counts struct {
	Items []Count `json:"items"`
}

// AllHours are sums of hours: GET /v1/hours/pods.
type AllHours struct {
	Items []Hours `json:"items"`
}

// A Refusal says why there is no answer.
type Refusal struct {
	Error string `json:"error"`
}

// The parameters of requests.
const (
	ParameterCluster   = "cluster"
	ParameterNamespace = "namespace"
	ParameterName      = "name"
	ParameterUID       = "uid"
	ParameterNode      = "node"
	ParameterCode      = "code"
	ParameterClass     = "class"
	ParameterOwner     = "owner"
	ParameterRecord    = "record"
	ParameterSelector  = "labelSelector"
	ParameterSince     = "since"
	ParameterUntil     = "until"
	ParameterLimit     = "limit"
	ParameterCursor    = "cursor"
	ParameterBy        = "by"

	// AllClusters is the cluster that stands for all of them.
	AllClusters = "*"
)

// Plural is a kind as it stands in the path of a request.
func (k Kind) Plural() string {
	switch k {
	case NodeKind:
		return "nodes"
	case OwnerKind:
		return "owners"
	default:
		return "pods"
	}
}
