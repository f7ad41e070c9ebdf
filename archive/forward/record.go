package forward

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/archive"
)

// ID names a revision of a record among those of all clusters: what comes twice has the same.
func ID(r archive.Record) string {
	return fmt.Sprintf("%s/%s/%d-%d", r.Cluster, r.UID, r.Epoch, r.Revision)
}

// A Summary is what receivers are told of a record besides its columns.
type Summary struct {
	Reason, By string
	Subject    string
	Owners     []string
	Labels     map[string]string
	// Amended is set if this is not what was written first, or if others have found out more since:
	// what the API of a cloud said of a node's instance, for example.
	Amended bool
}

// Summarize reads a record's document.
func Summarize(r archive.Record) (Summary, error) {
	var document struct {
		Metadata struct {
			Generation int64             `json:"generation"`
			Labels     map[string]string `json:"labels"`
		} `json:"metadata"`
		Spec struct {
			Reason    string                  `json:"reason"`
			By        string                  `json:"by"`
			DeletedBy string                  `json:"deletedBy"`
			PodUID    string                  `json:"podUID"`
			NodeUID   string                  `json:"nodeUID"`
			UID       string                  `json:"uid"`
			Owners    []struct{ Name string } `json:"owners"`
		} `json:"spec"`
		Status map[string]json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(r.Document, &document); err != nil {
		return Summary{}, fmt.Errorf("read the record %s: %w", r.UID, err)
	}
	spec := document.Spec
	s := Summary{Reason: spec.Reason, By: spec.By, Subject: spec.PodUID + spec.NodeUID + spec.UID,
		Labels: document.Metadata.Labels}
	if s.By == "" {
		s.By = spec.DeletedBy
	}
	for _, owner := range spec.Owners {
		s.Owners = append(s.Owners, owner.Name)
	}
	// The generation counts changes of the spec alone: none of the status, which is empty when a
	// record is created. The record of an owner is renewed for what is done to it next, which is no
	// amendment.
	s.Amended = r.Kind != archive.OwnerKind &&
		(document.Metadata.Generation > 1 || len(document.Status) > 0)
	return s, nil
}

// Event is the name of what happened to a record, such as io.epitaph-k8s.pod.recorded.
func Event(r archive.Record, s Summary) string {
	happened := "recorded"
	if s.Amended {
		happened = "amended"
	}
	return "io.epitaph-k8s." + strings.ToLower(string(r.Kind)) + "." + happened
}

// A Filter selects records. An empty list matches all.
type Filter struct {
	Kinds, Codes, Classes, Namespaces []string
	// Since is from when on it is sent what left.
	Since time.Time
}

func (f Filter) selects(r archive.Record) bool {
	one := func(of []string, value string) bool {
		return len(of) == 0 || slices.Contains(of, value)
	}
	return one(f.Kinds, string(r.Kind)) && one(f.Codes, r.Code) && one(f.Classes, r.Class) &&
		one(f.Namespaces, r.Namespace) && !r.Removed.Before(f.Since)
}

// name is how the log names a record.
func name(r archive.Record) string {
	return string(r.Kind) + " " + strconv.Quote(strings.TrimPrefix(r.Namespace+"/"+r.Name, "/"))
}
