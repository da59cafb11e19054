package contest

import (
	"fmt"
	"io"
)

// Bar is what Dormouse must reach: the ratio of two figures of one run, or one
// figure.
type Bar struct {
	Says             string // what is compared
	Question, Metric string
	Of               string // the peer
	// Against is the peer that it is divided by; empty: the figure itself is
	// compared.
	Against string
	// AgainstQuestion is the question of Against's figure, where it is another.
	AgainstQuestion string
	Least, Most     float64 // one of them; the other is 0
	Unit            string  // of the figure, if it is no ratio
}

// Check returns what the report has for the bar, and whether that is enough;
// known is false if it was not measured.
func (b Bar) Check(r *Report) (got float64, met, known bool) {
	got, known = r.Median(b.Question, b.Of, b.Metric)
	if b.Against != "" && known {
		question := b.Question
		if b.AgainstQuestion != "" {
			question = b.AgainstQuestion
		}
		var than float64
		than, known = r.Median(question, b.Against, b.Metric)
		got /= than
	}
	return got, known && (b.Least == 0 || got >= b.Least) && (b.Most == 0 || got <= b.Most), known
}

// BarTable writes which bars are met, as Markdown.
func (r *Report) BarTable(w io.Writer, bars []Bar) {
	fmt.Fprint(w, "| bar | wanted | measured | |\n|---|---:|---:|---|\n")
	for _, b := range bars {
		sign, limit := "≥", b.Least
		if b.Least == 0 {
			sign, limit = "≤", b.Most
		}
		unit := "x"
		if b.Against == "" {
			unit = " " + b.Unit
		}
		got, met, known := b.Check(r)
		measured, verdict := Figure(got)+unit, "**missed**"
		switch {
		case !known:
			measured, verdict = "–", "not measured"
		case met:
			verdict = "met"
		}
		fmt.Fprintf(w, "| %s | %s %s%s | %s | %s |\n", b.Says, sign, Figure(limit), unit, measured, verdict)
	}
}
