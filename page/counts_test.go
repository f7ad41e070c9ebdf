package page

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

func TestCountsAreDrawn(t *testing.T) {
	t.Parallel()
	var c counts
	at := func(after time.Duration) metav1.Time { return metav1.NewTime(noon.Add(after)) }
	for range 3 {
		c.add(at(0), "KernelPanic")
	}
	c.add(at(90*time.Second), "Evicted")
	c.add(at(90*time.Second), "KernelPanic")
	c.add(at(-10*time.Minute), "no such <code>")
	f := frame{zone: time.FixedZone("NPT", 5*3600+45*60)}
	got := c.chart(f, "pods", query{Namespace: "ns", After: "x", Node: "n"}, "/")

	if got.Each != "1 minute" || got.Title != "Pods that left, by cause" || got.Most != 3 || got.Width != minColumns*columnWidth {
		t.Errorf("a column is %s, %d at most, the drawing is %d wide", got.Each, got.Most,
			got.Width)
	}
	if got.From.UTC != "2026-05-01 11:38:00" || got.To.UTC != "2026-05-01 12:02:00" ||
		got.To.Local != "17:47:00 NPT" {
		t.Errorf("it is from %+v to %+v", got.From, got.To)
	}
	want := []cause{
		{link{"KernelPanic", "/?code=KernelPanic&namespace=ns&node=n"}, "cause-1", 4},
		{link{"Evicted", "/?code=Evicted&namespace=ns&node=n"}, "cause-2", 1},
		{link{"other causes", ""}, "other", 1},
	}
	if fmt.Sprint(got.Causes) != fmt.Sprint(want) {
		t.Errorf("the causes are %+v, want %+v", got.Causes, want)
	}
	if got.Description != "From 2026-05-01 11:38:00 to 2026-05-01 12:02:00 UTC, a column for "+
		"each 1 minute. At most 3 left in one. In all: KernelPanic 4, Evicted 1, "+
		"other causes 1." {
		t.Errorf("in words, it is %q", got.Description)
	}
	if len(got.Columns) != 3 || got.Columns[2].Says != "KernelPanic 1, Evicted 1" ||
		got.Columns[2].Count != 2 || got.Columns[2].From.UTC != "2026-05-01 12:01:00" {
		t.Errorf("the columns are %+v", got.Columns)
	}
	if parts := got.Columns[1].Parts; len(parts) != 1 ||
		parts[0] != (part{"cause-1", "220.75", "0.00", "8.50", "100.00"}) {
		t.Errorf("the highest column is %+v", parts)
	}
	var one counts
	one.add(at(0), "Evicted")
	if (&counts{}).chart(f, "pods", query{}, "/") != nil ||
		one.chart(f, "pods", query{}, "/") != nil {
		t.Error("nothing, or one record, is drawn")
	}
}

// However many records there are, of whatever codes and times, a chart is bounded, loses none, and
// no part leaves the drawing.
func TestChartsAreBounded(t *testing.T) {
	t.Parallel()
	times := map[string]func(n int) time.Time{
		"one second": func(int) time.Time { return noon },
		"a minute each": func(n int) time.Time {
			return noon.Add(-time.Duration(n) * time.Minute)
		},
		"an hour each, to and fro": func(n int) time.Time {
			return noon.Add(time.Duration(n*7919%1000-500) * time.Hour)
		},
		"before 1970": func(n int) time.Time {
			return time.Unix(-int64(n)*1_000_003, 0)
		},
		"the ends of time": func(n int) time.Time {
			return time.Date(1+n%2*9998, 1, 1, 0, 0, n, 0, time.UTC)
		},
	}
	codes := reason.Codes()
	for name, when := range times {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 5_000
			var c counts
			for i := range n {
				code := fmt.Sprint("odd ", i)
				if i%3 > 0 {
					code = string(codes[i*i%len(codes)])
				}
				c.add(metav1.NewTime(when(i)), code)
			}
			got := c.chart(frame{}, "pods", query{}, "/")
			if len(got.Columns) > maxColumns || got.Width > maxColumns*columnWidth ||
				len(got.Causes) > maxCauses+1 {
				t.Errorf("%d columns, %d causes", len(got.Columns), len(got.Causes))
			}
			for i := 1; i < len(got.Columns); i++ {
				if got.Columns[i-1].From.ISO >= got.Columns[i].From.ISO {
					t.Errorf("a column from %s follows one from %s", got.Columns[i].From.ISO,
						got.Columns[i-1].From.ISO)
				}
			}
			inColumns, inCauses := 0, 0
			for _, column := range got.Columns {
				inColumns += column.Count
				within(t, got, column)
			}
			for _, cause := range got.Causes {
				inCauses += cause.Count
			}
			if inColumns != n || inCauses != n {
				t.Errorf("%d are in columns and %d in causes, of %d", inColumns, inCauses, n)
			}
		})
	}
}

// within wants a column to stay inside the drawing, and its parts to touch but not to overlap.
func within(t *testing.T, c *chart, of column) {
	t.Helper()
	number := func(text string) float64 {
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	bottom := float64(c.Height)
	for _, p := range of.Parts {
		x, y, height := number(p.X), number(p.Y), number(p.Height)
		if x < 0 || x+number(p.Width) > float64(c.Width) || y < -0.01 || height <= 0 ||
			math.Abs(y+height-bottom) > 0.02 {
			t.Errorf("a part from %v to %v is on what ends at %v", y, y+height, bottom)
		}
		bottom = y
	}
}

// Whoever sees little contrast tells each colour from the paper: 3 to 1, as WCAG 2.2 demands of
// graphics (success criterion 1.4.11), in light and in dark.
func TestColoursOfCausesAreSeen(t *testing.T) {
	t.Parallel()
	style, err := files.ReadFile("templates/style.css")
	if err != nil {
		t.Fatal(err)
	}
	pairs := regexp.MustCompile(
		`(--soft|--cause): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`).FindAllSubmatch(style, -1)
	if len(pairs) != 1+maxCauses+1 || string(pairs[0][1]) != "--soft" {
		t.Fatalf("%d colours are found: %q", len(pairs), pairs)
	}
	for n := range maxCauses {
		if !strings.Contains(string(style), fmt.Sprintf("\n.cause-%d { --cause:", n+1)) {
			t.Errorf("cause %d has no colour", n+1)
		}
	}
	for mode := range 2 {
		paper := luminance(t, string(pairs[0][2+mode]))
		for _, colour := range pairs[1:] {
			ink := luminance(t, string(colour[2+mode]))
			if contrast := (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05); contrast < 3 {
				t.Errorf("%s has a contrast of %.1f", colour[2+mode], contrast)
			}
		}
	}
}

// luminance is the relative luminance of a colour, as WCAG 2.2 defines it.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	var l float64
	for n, weight := range []float64{0.2126, 0.7152, 0.0722} {
		value, err := strconv.ParseUint(colour[1+2*n:3+2*n], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(value) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}
