package archive

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Place is that of a record in the order of a list: by time and UID.
type Place struct {
	Removed time.Time
	UID     string
}

// Cursor encodes the place of the last record of a page.
func (p Place) Cursor() string {
	return base64.RawURLEncoding.EncodeToString(
		[]byte(strconv.FormatInt(p.Removed.UnixMicro(), 10) + " " + p.UID))
}

// After decodes the query's cursor; it is nil if the query has none.
func (q Query) After() (*Place, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil {
		return nil, fmt.Errorf("%w: that is no cursor", ErrQuery)
	}
	micros, uid, ok := strings.Cut(string(text), " ")
	n, err := strconv.ParseInt(micros, 10, 64)
	if !ok || err != nil {
		return nil, fmt.Errorf("%w: that is no cursor", ErrQuery)
	}
	return &Place{time.UnixMicro(n).UTC(), column(uid)}, nil
}

// Size returns how many records the query's page has.
func (q Query) Size() int {
	if q.Limit <= 0 || q.Limit > MaxLimit {
		return MaxLimit
	}
	return q.Limit
}

// PageOf cuts what was found to the query's size. A store looks for one more: it tells that there
// is a next page.
func (q Query) PageOf(found []Record) Page {
	if len(found) <= q.Size() {
		return Page{Records: found}
	}
	found = found[:q.Size()]
	last := found[len(found)-1]
	return Page{Records: found, Next: Place{last.Removed, last.UID}.Cursor()}
}
