package contest

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse/bench/load"
)

// Plots are drawn on a white card, so that they can be read on any page.
const (
	plotWidth, plotHeight = 760, 380
	left, right           = 70, 190
	top, bottom           = 50, 50
)

// hues are one for each peer, in the table's order; they differ in lightness too.
var hues = []string{"#b3420e", "#1d5fa8", "#d99a2b", "#3d8f5f", "#8e5bb5", "#6b6f76", "#111111", "#c25b8a"}

// canvas collects the elements of one drawing.
type canvas struct{ strings.Builder }

func newCanvas(title, subtitle string) *canvas {
	c := new(canvas)
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" role="img">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(c, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", html.EscapeString(title))
	c.text(left, 20, "start", "#111", `font-size="15" font-weight="600"`, title)
	c.text(left, 37, "start", "#555", "", subtitle)
	return c
}

func (c *canvas) text(x, y float64, anchor, fill, more, s string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s" %s>%s</text>`+"\n", x, y, anchor, fill, more, html.EscapeString(s))
}

func (c *canvas) line(x1, y1, x2, y2 float64, stroke string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, stroke)
}

func (c *canvas) end(w io.Writer) error {
	c.WriteString("</svg>\n")
	_, err := io.WriteString(w, c.String())
	return err
}

// axis maps a range to pixels, by its logarithm.
type axis struct{ least, most, from, to float64 }

func newAxis(least, most, from, to float64) axis {
	least, most = math.Log10(least), math.Log10(most)
	pad := max(0.05, (most-least)*0.04)
	return axis{least - pad, most + pad, from, to}
}

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.least)/(a.most-a.least)*(a.to-a.from)
}

// ticks are 1, 2 and 5 times the powers of ten, or the powers alone where these
// are many.
func (a axis) ticks() (list []float64) {
	steps := []float64{1, 2, 5}
	if a.most-a.least > 2.5 {
		steps = steps[:1]
	}
	for e := math.Floor(a.least); e <= a.most; e++ {
		for _, s := range steps {
			if v := s * math.Pow(10, e); math.Log10(v) >= a.least && math.Log10(v) <= a.most {
				list = append(list, v)
			}
		}
	}
	return list
}

// LatencyPlot draws what part of the messages of a question took how long, for
// every peer: all rounds together, from the median to the slowest thousandth.
func (r *Report) LatencyPlot(w io.Writer, question string) error {
	i := slices.IndexFunc(r.Results, func(res Result) bool { return res.Question == question })
	if i < 0 {
		return fmt.Errorf("plot: the report has no question %q", question)
	}
	type curve struct {
		peer, hue string
		ys        []float64 // µs at each of quantiles
	}
	quantiles := []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999}
	var curves []curve
	least, most := math.Inf(1), 0.0
	for n, a := range r.Results[i].Answers {
		var buckets []load.Bucket
		for _, s := range a.Samples {
			buckets = append(buckets, s.Latency...)
		}
		if len(buckets) == 0 {
			continue
		}
		c := curve{peer: a.Peer, hue: hues[n%len(hues)], ys: quantilesOf(buckets, quantiles)}
		least, most = min(least, c.ys[0]), max(most, c.ys[len(c.ys)-1])
		curves = append(curves, c)
	}
	if len(curves) == 0 {
		return fmt.Errorf("plot: %q has no latencies", question)
	}
	c := newCanvas(question, "Microseconds that a message takes, by the part of messages that are faster; all rounds together.")
	y := newAxis(max(least, 1), most, plotHeight-bottom, top)
	const tail = 3.0 // nines
	x := func(q float64) float64 { return left - math.Log10(1-q)/tail*(plotWidth-left-right) }
	for _, v := range y.ticks() {
		c.line(left, y.at(v), plotWidth-right, y.at(v), "#e4e4e4")
		c.text(left-8, y.at(v)+4, "end", "#555", "", Figure(v))
	}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		c.line(x(q), top, x(q), plotHeight-bottom, "#e4e4e4")
		c.text(x(q), plotHeight-bottom+18, "middle", "#555", "", fmt.Sprintf("%g %%", q*100))
	}
	slices.SortStableFunc(curves, func(a, b curve) int { return cmp.Compare(b.ys[len(b.ys)-1], a.ys[len(a.ys)-1]) })
	under := float64(top)
	for _, k := range curves {
		var points strings.Builder
		for n, q := range quantiles {
			fmt.Fprintf(&points, "%.1f,%.1f ", x(q), y.at(max(k.ys[n], 1)))
		}
		fmt.Fprintf(c, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", k.hue, strings.TrimSpace(points.String()))
		at := max(under, y.at(max(k.ys[len(k.ys)-1], 1)))
		c.text(plotWidth-right+8, at+4, "start", k.hue, `font-weight="600"`, k.peer)
		under = at + 15
	}
	return c.end(w)
}

// RoundsPlot draws a metric of every round as a dot, and the medians as a line.
func (r *Report) RoundsPlot(w io.Writer, question, metric string) error {
	i := slices.IndexFunc(r.Results, func(res Result) bool { return res.Question == question })
	if i < 0 {
		return fmt.Errorf("plot: the report has no question %q", question)
	}
	res := r.Results[i]
	unit := ""
	for _, m := range res.Metrics {
		if m.Name == metric {
			unit = m.Unit
		}
	}
	var rows []Answer
	least, most := math.Inf(1), 0.0
	for _, a := range res.Answers {
		values := a.values(metric)
		if len(values) == 0 || values[0] <= 0 {
			continue
		}
		rows = append(rows, a)
		least, most = min(least, values[0]), max(most, values[len(values)-1])
	}
	if len(rows) == 0 {
		return fmt.Errorf("plot: %q has no %s", question, metric)
	}
	c := newCanvas(question, unit+", on a logarithmic scale: a dot for every round, a line for the median.")
	const names = 170
	x := newAxis(least, most, names, plotWidth-60)
	for _, v := range x.ticks() {
		c.line(x.at(v), top, x.at(v), plotHeight-bottom, "#e4e4e4")
		c.text(x.at(v), plotHeight-bottom+18, "middle", "#555", "", Figure(v))
	}
	step := float64(plotHeight-top-bottom) / float64(len(rows))
	for n, a := range rows {
		y, hue := top+step*(float64(n)+0.5), hues[n%len(hues)]
		values := a.values(metric)
		c.text(names-10, y+4, "end", hue, `font-weight="600"`, a.Peer)
		for _, v := range values {
			fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s" fill-opacity="0.5"/>`+"\n", x.at(v), y, hue)
		}
		m := median(values)
		fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"/>`+"\n", x.at(m), y-10, x.at(m), y+10, hue)
		c.text(x.at(m), y-13, "middle", "#333", `font-size="11"`, Figure(m))
	}
	return c.end(w)
}

// quantilesOf returns the microseconds at each of qs, which ascend.
func quantilesOf(buckets []load.Bucket, qs []float64) []float64 {
	buckets = slices.Clone(buckets)
	slices.SortFunc(buckets, func(a, b load.Bucket) int { return cmp.Compare(a[0], b[0]) })
	var total uint64
	for _, b := range buckets {
		total += b[1]
	}
	list := make([]float64, 0, len(qs))
	seen, i := uint64(0), 0
	for _, q := range qs {
		rank := uint64(q * float64(total-1))
		for seen+buckets[i][1] <= rank {
			seen += buckets[i][1]
			i++
		}
		list = append(list, float64(buckets[i][0])/1e3)
	}
	return list
}
