package serve

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/epitaph-k8s/epitaph/archive"
)

// maxPage bounds a page: a record may have some 100 KiB.
const maxPage = 500

// known are the parameters of every request.
var known = []string{archive.ParameterCluster, archive.ParameterNamespace, archive.ParameterName,
	archive.ParameterUID, archive.ParameterNode, archive.ParameterCode, archive.ParameterClass,
	archive.ParameterOwner, archive.ParameterRecord, archive.ParameterSelector,
	archive.ParameterSince, archive.ParameterUntil}

// queryOf reads the parameters of a request, those that it may have besides among them. A parameter
// that is not known is an error: a filter must not be dropped because it is mistyped.
func queryOf(kind archive.Kind, own string, from url.Values,
	besides ...string) (q archive.Query, err error) {
	for name, values := range from {
		if !slices.Contains(known, name) && !slices.Contains(besides, name) {
			return q, fmt.Errorf("%w: a parameter is not known", archive.ErrQuery)
		}
		if len(values) > 1 {
			return q, fmt.Errorf("%w: %s is there twice", archive.ErrQuery, name)
		}
		if strings.ContainsRune(values[0], 0) {
			return q, fmt.Errorf("%w: %s has a NUL", archive.ErrQuery, name)
		}
		if !utf8.ValidString(values[0]) {
			return q, fmt.Errorf("%w: %s is no UTF-8", archive.ErrQuery, name)
		}
	}
	q = archive.Query{
		Cluster: from.Get(archive.ParameterCluster), Kind: kind,
		Namespace: from.Get(archive.ParameterNamespace), Name: from.Get(archive.ParameterName),
		Subject: from.Get(archive.ParameterUID), Node: from.Get(archive.ParameterNode),
		Code: from.Get(archive.ParameterCode), Class: from.Get(archive.ParameterClass),
		Owner: from.Get(archive.ParameterOwner), Record: from.Get(archive.ParameterRecord),
		Cursor: from.Get(archive.ParameterCursor), Limit: maxPage,
	}
	switch q.Cluster {
	case "":
		q.Cluster = own
	case archive.AllClusters:
		q.Cluster = ""
	}
	if text := from.Get(archive.ParameterSelector); text != "" {
		if q.Labels, err = labels.Parse(text); err != nil {
			return q, fmt.Errorf("%w: the label selector cannot be read", archive.ErrQuery)
		}
	}
	for name, to := range map[string]*time.Time{archive.ParameterSince: &q.Since,
		archive.ParameterUntil: &q.Until} {
		if text := from.Get(name); text != "" {
			if *to, err = time.Parse(time.RFC3339, text); err != nil {
				return q, fmt.Errorf("%w: %s is no time of RFC 3339", archive.ErrQuery, name)
			}
		}
	}
	if text := from.Get(archive.ParameterLimit); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, fmt.Errorf("%w: limit is no number from 1 on", archive.ErrQuery)
		}
		q.Limit = min(n, maxPage)
	}
	return q, nil
}
