package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxColumns bounds the columns of a chart; with fewer than minColumns they would be too wide.
	maxColumns = 48
	minColumns = 24
	// maxCauses is how many causes have a colour of their own; the others share one.
	maxCauses = 6
	// columnHeight is the height of the highest column, in units of the drawing, and columnWidth
	// the width of each, with a gap. The style sheet stretches both.
	columnHeight, columnWidth, columnGap = 100, 10, 1.5
	// leastHeight is that of the smallest part of a column: one pod is seen beside thousands.
	leastHeight = 1.5
)

// minute is the width of the narrowest columns.
const minute = 60

// widths are those that a column may have, in seconds. Each is a multiple of the one before, so
// that columns can be put together; after the last, each is ten times as wide.
var widths = []int64{minute, 5 * minute, 15 * minute, 60 * minute, 3 * 60 * minute,
	6 * 60 * minute, 12 * 60 * minute, day, 7 * day, 28 * day, 364 * day}

const day = 24 * 60 * minute

// counts are how many records left for which cause, and when. They hold at most maxColumns times
// the codes of the vocabulary, whatever they are told of.
type counts struct {
	// width is that of a column in seconds, 0 while there is none.
	width int64
	// columns are by the number of their widths since 1970: those of each code.
	columns     map[int64]map[reason.Code]int
	first, last int64
}

// otherCauses is the key of codes that are not in the vocabulary.
const otherCauses = reason.Code("")

// add counts one record.
func (c *counts) add(left metav1.Time, code string) {
	if c.width == 0 {
		c.width, c.columns = widths[0], map[int64]map[reason.Code]int{}
		c.first = floorDiv(left.Unix(), c.width)
		c.last = c.first
	}
	for {
		n := floorDiv(left.Unix(), c.width)
		first, last := min(c.first, n), max(c.last, n)
		if last-first < maxColumns {
			c.first, c.last = first, last
			if c.columns[n] == nil {
				c.columns[n] = map[reason.Code]int{}
			}
			known := reason.Code(code)
			if !known.Known() {
				known = otherCauses
			}
			c.columns[n][known]++
			return
		}
		c.widen()
	}
}

// widen puts neighbouring columns together.
func (c *counts) widen() {
	wider := 10 * c.width
	if n := slices.Index(widths, c.width); n >= 0 && n+1 < len(widths) {
		wider = widths[n+1]
	}
	together := make(map[int64]map[reason.Code]int, len(c.columns))
	for n, column := range c.columns {
		n = floorDiv(n*c.width, wider)
		if together[n] == nil {
			together[n] = map[reason.Code]int{}
		}
		for code, pods := range column {
			together[n][code] += pods
		}
	}
	c.first, c.last = floorDiv(c.first*c.width, wider), floorDiv(c.last*c.width, wider)
	c.width, c.columns = wider, together
}

func floorDiv(a, b int64) int64 {
	n := a / b
	if a%b < 0 {
		n--
	}
	return n
}

// A chart is a drawing of counts, and what it shows in words.
type chart struct {
	Title, Description string
	// Width and Height are those of the drawing.
	Width, Height int
	Causes        []cause
	Columns       []column
	// From and To are where its time begins and ends.
	From, To moment
	// Most is the number of records in the highest column, Each how much time one covers.
	Most int
	Each string
}

// A cause is one of those that a chart has a colour for.
type cause struct {
	// Link leads to the records with it.
	link
	// Colour is a class of the style sheet.
	Colour string
	Count  int
}

// A column is what left in a time.
type column struct {
	From  moment
	Count int
	// Says names the causes and their numbers.
	Says  string
	Parts []part
}

// A part is a rectangle.
type part struct {
	Colour, X, Y, Width, Height string
}

// chart draws what was counted. Of one record there is nothing to draw. What is counted is called
// things; the query leads, under path, to those of one code.
func (c *counts) chart(f frame, things string, q query, path string) *chart {
	totals, all := map[reason.Code]int{}, 0
	for _, column := range c.columns {
		for code, n := range column {
			totals[code] += n
			all += n
		}
	}
	if all < 2 {
		return nil
	}
	order := slices.SortedFunc(maps.Keys(totals), func(a, b reason.Code) int {
		// Other causes are the last, however many there are.
		return cmp.Or(boolAsInt(a == otherCauses)-boolAsInt(b == otherCauses),
			cmp.Compare(totals[b], totals[a]), cmp.Compare(a, b))
	})
	first := min(c.first, c.last-minColumns+1)
	drawn := &chart{
		Title: strings.ToUpper(things[:1]) + things[1:] + " that left, by cause",
		Each:  lasts(c.width),
		Width: int(c.last-first+1) * columnWidth, Height: columnHeight,
		From: f.At(startOf(first, c.width)), To: f.At(startOf(c.last+1, c.width)),
	}
	for n, code := range order {
		if n == maxCauses || code == otherCauses {
			rest := cause{link: link{Text: "other causes"}, Colour: "other"}
			for _, code := range order[n:] {
				rest.Count += totals[code]
			}
			drawn.Causes = append(drawn.Causes, rest)
			break
		}
		of := q
		of.Code, of.After = string(code), ""
		drawn.Causes = append(drawn.Causes, cause{link{string(code), of.address(path)},
			"cause-" + strconv.Itoa(n+1), totals[code]})
	}
	counted := make([][]int, 0, len(c.columns)) // by column and cause
	numbers := slices.Sorted(maps.Keys(c.columns))
	for _, n := range numbers {
		row := make([]int, len(drawn.Causes))
		sum := 0
		for i, code := range order {
			row[min(i, len(row)-1)] += c.columns[n][code]
			sum += c.columns[n][code]
		}
		counted, drawn.Most = append(counted, row), max(drawn.Most, sum)
	}
	for i, n := range numbers {
		drawn.Columns = append(drawn.Columns, column{From: f.At(startOf(n, c.width))})
		drawn.draw(&drawn.Columns[i], float64(n-first)*columnWidth, counted[i])
	}
	sums := make([]int, len(drawn.Causes))
	for n, c := range drawn.Causes {
		sums[n] = c.Count
	}
	drawn.Description = fmt.Sprintf("From %s to %s UTC, a column for each %s. At most %d left in "+
		"one. In all: %s.", drawn.From.UTC, drawn.To.UTC, drawn.Each, drawn.Most,
		drawn.says(sums))
	return drawn
}

// draw fills a column at x with what was counted of each cause, the most frequent at the bottom.
func (c *chart) draw(of *column, x float64, counted []int) {
	of.Says = c.says(counted)
	for _, n := range counted {
		of.Count += n
	}
	heights, sum := make([]float64, len(counted)), 0.0
	for n, count := range counted {
		if count > 0 {
			heights[n] = max(leastHeight, columnHeight*float64(count)/float64(c.Most))
			sum += heights[n]
		}
	}
	y := float64(columnHeight)
	for n, height := range heights {
		if height == 0 {
			continue
		}
		height *= min(1, columnHeight/sum)
		y -= height
		of.Parts = append(of.Parts, part{c.Causes[n].Colour, units(x + columnGap/2), units(y),
			units(columnWidth - columnGap), units(height)})
	}
}

// says names causes and how many there are of each.
func (c *chart) says(counted []int) string {
	var words []string
	for n, count := range counted {
		if count > 0 {
			words = append(words, fmt.Sprintf("%s %d", c.Causes[n].Text, count))
		}
	}
	return strings.Join(words, ", ")
}

func units(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

func startOf(n, width int64) metav1.Time { return metav1.Unix(n*width, 0) }

// lasts says how long a column lasts.
func lasts(seconds int64) string {
	n, unit := seconds/minute, "minute"
	switch {
	case seconds >= day:
		n, unit = seconds/day, "day"
	case seconds >= 60*minute:
		n, unit = seconds/(60*minute), "hour"
	}
	if n > 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

func boolAsInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
