package page

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story"
)

// Every zone that can be chosen is there, and no other name reaches the file system.
func TestZones(t *testing.T) {
	t.Parallel()
	for _, name := range zoneNames {
		if zone, ok := zoneCalled(name); !ok || zone.String() != name {
			t.Errorf("%s is not there", name)
		}
	}
	if len(zoneNames) < 400 || len(slices.Compact(slices.Clone(zoneNames))) != len(zoneNames) {
		t.Errorf("there are %d zones, or one twice", len(zoneNames))
	}
	for _, name := range []string{"", "Local", "/etc/localtime", "../zoneinfo/Europe/Berlin",
		"Europe/../Europe/Berlin", "Europe", "europe/berlin", "EST5EDT",
		strings.Repeat("Europe/", 1000)} {
		if zone, ok := zoneCalled(name); ok {
			t.Errorf("%q is the zone %s", name, zone)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: zoneCookie, Value: name, Quoted: true})
		if zone := zoneOf(r); zone != nil {
			t.Errorf("with the cookie %q, times are of %s", name, zone)
		}
	}
}

func TestTimesBesideUTC(t *testing.T) {
	t.Parallel()
	in := func(name string) frame {
		zone, ok := zoneCalled(name)
		if !ok {
			t.Fatalf("%s is not there", name)
		}
		return frame{zone: zone}
	}
	at := metav1.NewTime(noon)
	for name, tc := range map[string]struct {
		frame frame
		want  moment
	}{
		"none": {frame{}, moment{"2026-05-01T12:00:00Z", "2026-05-01 12:00:00", "", ""}},
		"the same day": {in("Europe/Berlin"), moment{"2026-05-01T12:00:00Z",
			"2026-05-01 12:00:00", "14:00:00 CEST", "2026-05-01T14:00:00+02:00"}},
		"another day": {in("Pacific/Kiritimati"), moment{"2026-05-01T12:00:00Z",
			"2026-05-01 12:00:00", "2026-05-02 02:00:00 +14", "2026-05-02T02:00:00+14:00"}},
	} {
		if got := tc.frame.At(at); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}

}

// The times of a story are the record's: one that somebody wrote into a reason stays as it is.
func TestTimesOfStories(t *testing.T) {
	t.Parallel()
	o := &v1alpha1.NodeObituary{Spec: v1alpha1.NodeObituarySpec{NodeName: "n1",
		Removed: metav1.NewTime(noon), Reason: "said at 2026-01-01 00:00:00 UTC"}}
	told := story.OfNode(o, nil)
	for zone, want := range map[string]struct{ title, reason string }{
		"UTC": {`Node n1 left at <time datetime="2026-05-01T12:00:00Z">2026-05-01 12:00:00 UTC` +
			`</time>.`, "said at 2026-01-01 00:00:00 UTC"},
		"Asia/Kolkata": {`Node n1 left at <time datetime="2026-05-01T12:00:00Z">` +
			`2026-05-01 12:00:00 UTC</time> (<time datetime="2026-05-01T17:30:00&#43;05:30">` +
			`17:30:00 IST</time>).`, "said at 2026-01-01 00:00:00 UTC"},
	} {
		f := frame{}
		if zone != time.UTC.String() {
			f.zone, _ = zoneCalled(zone)
		}
		for text, line := range map[string]story.Line{want.title: told.Title,
			want.reason: told.Parts[0].Lines[0]} {
			var b strings.Builder
			if err := templates.ExecuteTemplate(&b, "phrases", f.Phrases(line)); err != nil {
				t.Fatal(err)
			}
			if b.String() != text {
				t.Errorf("in %s: %s\nwant %s", zone, b.String(), text)
			}
		}
	}
}

// The form that sets the zone sends a visitor back to where they were, and never elsewhere.
func TestNobodyIsSentElsewhere(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"/?namespace=a&q=b%20c": "/?namespace=a&q=b%20c",
		"/pods/ns/p.x":          "/pods/ns/p.x",
		"":                      "/",
		"//evil.example/":       "/",
		"/\\evil.example":       "/%5Cevil.example",
		"https://evil.example/": "/",
		"javascript:alert(1)":   "/",
		"pods/x":                "/",
		"/%2Fevil.example":      "/",
		"/a\r\nSet-Cookie: a=b": "/",
		"/x#fragment":           "/x",
		"/?" + strings.Repeat("x", maxAddressBytes): "/",
	} {
		if got := localAddress(address); got != want {
			t.Errorf("%q leads to %q, want %q", address, got, want)
		}
	}
}

func TestZoneIsKept(t *testing.T) {
	t.Parallel()
	set := func(zone string) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/zone", nil)
		r.PostForm = map[string][]string{"zone": {zone}, "back": {"/nodes?q=x"}}
		w := httptest.NewRecorder()
		return w, (&Page{}).setZone(w, visit{Request: r})
	}
	w, err := set("America/New_York")
	cookies := w.Result().Cookies()
	if err != nil || w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/nodes?q=x" ||
		len(cookies) != 1 || !cookies[0].Secure || !cookies[0].HttpOnly ||
		cookies[0].MaxAge != int((365*24*time.Hour).Seconds()) {
		t.Fatalf("%v, %d, %v, %v", err, w.Code, w.Header(), cookies)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.AddCookie(cookies[0])
	if zone := zoneOf(r); zone == nil || zone.String() != "America/New_York" {
		t.Errorf("the zone is %v", zone)
	}
	if _, err := set("../../etc/passwd"); !errors.Is(err, errRefused) {
		t.Errorf("another name is answered with %v", err)
	}
}
