package page

import (
	_ "embed"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the image has no files of zones
)

// zoneNames are those of the zone.tab of the IANA's time zone database, and UTC, in the order of
// the alphabet.
//
//go:embed zones.txt
var zoneText string

var zoneNames = slices.Sorted(strings.FieldsSeq(zoneText))

// zoneCookie holds the name of the visitor's zone, for as long as zoneKept.
const (
	zoneCookie = "__Host-epitaph-zone"
	zoneKept   = 365 * 24 * time.Hour
)

// zoneCalled returns the zone of that name. Other names than the listed ones never reach the
// standard library, which would look for a file.
func zoneCalled(name string) (*time.Location, bool) {
	if _, ok := slices.BinarySearch(zoneNames, name); !ok {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// zoneOf returns the zone that the visitor has chosen, or nil for UTC alone.
func zoneOf(r *http.Request) *time.Location {
	chosen, err := r.Cookie(zoneCookie)
	if err != nil || chosen.Value == time.UTC.String() {
		return nil
	}
	zone, _ := zoneCalled(chosen.Value)
	return zone
}

// zonesView is the form with which a visitor chooses a zone.
type zonesView struct {
	frame
	Back  string
	Areas []area
}

// An area is what zones are grouped by.
type area struct {
	Name  string
	Zones []string
}

func (p *Page) zones(w http.ResponseWriter, v visit) error {
	view := zonesView{frame: v.frame("Time zone"), Back: localAddress(v.URL.Query().Get("back"))}
	view.Here = ""
	for _, name := range zoneNames {
		of, _, inArea := strings.Cut(name, "/")
		if !inArea {
			continue // UTC, which the form has first
		}
		if n := len(view.Areas); n == 0 || view.Areas[n-1].Name != of {
			view.Areas = append(view.Areas, area{Name: of})
		}
		last := &view.Areas[len(view.Areas)-1]
		last.Zones = append(last.Zones, name)
	}
	return render(w, http.StatusOK, "zones.html", view)
}

func (p *Page) setZone(w http.ResponseWriter, v visit) error {
	name := cut(v.PostForm.Get("zone"))
	if _, ok := zoneCalled(name); !ok {
		return errRefused
	}
	http.SetCookie(w, cookie(zoneCookie, name, int(zoneKept.Seconds())))
	http.Redirect(w, v.Request, localAddress(v.PostForm.Get("back")), http.StatusSeeOther)
	return nil
}

// maxAddressBytes bounds the address that a visitor comes back to: every parameter of a list, each
// byte escaped.
const maxAddressBytes = 8 << 10

// localAddress returns an address of this page, and that of the list instead of any other: the page
// sends nobody elsewhere.
func localAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxAddressBytes || u.IsAbs() || u.Host != "" || u.User != nil ||
		!strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	return u.RequestURI()
}
