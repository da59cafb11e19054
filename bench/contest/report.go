package contest

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Report is a whole run, as it is kept in a result file.
type Report struct {
	Date     time.Time         `json:"date"`
	Commit   string            `json:"commit"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"` // by peer
	Pace     Pace              `json:"pace"`
	Took     time.Duration     `json:"took"`
	Results  []Result          `json:"results"`
}

// Machine is where a run took place.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memory_bytes"`
	Kernel string `json:"kernel"`
}

// Result is a question with all that was answered.
type Result struct {
	Folder   string   `json:"folder"`
	Question string   `json:"question"`
	Asks     string   `json:"asks"`
	Metrics  []Metric `json:"metrics"`
	Answers  []Answer `json:"answers"`

	Took time.Duration `json:"took"`
}

// Table writes the report as Markdown: medians, with least and most in
// parentheses where there were several rounds.
func (r *Report) Table(w io.Writer) {
	var peers []string
	for _, res := range r.Results {
		for _, a := range res.Answers {
			if !slices.Contains(peers, a.Peer) {
				peers = append(peers, a.Peer)
			}
		}
	}
	fmt.Fprintf(w, "| question | | %s |\n|---|---|%s\n", strings.Join(peers, " | "), strings.Repeat("---:|", len(peers)))
	for _, res := range r.Results {
		first := res.Question
		for _, m := range res.Metrics {
			fmt.Fprintf(w, "| %s | %s |", first, m.Unit)
			for _, p := range peers {
				fmt.Fprintf(w, " %s |", res.cell(p, m.Name))
			}
			fmt.Fprintln(w)
			first = ""
		}
	}
	fmt.Fprintf(w, "\n%s; %d × %s, Linux %s; commit %s.\n", r.Date.Format("2006-01-02"), r.Machine.Cores, r.Machine.CPU, r.Machine.Kernel, r.Commit)
	for _, p := range peers {
		fmt.Fprintf(w, "%s: %s. ", p, r.Versions[p])
	}
	fmt.Fprintln(w)
	for _, line := range r.remarks() {
		fmt.Fprintf(w, "\n%s\n", line)
	}
}

func (res Result) cell(peer, metric string) string {
	i := slices.IndexFunc(res.Answers, func(a Answer) bool { return a.Peer == peer })
	if i < 0 {
		return "–"
	}
	if res.Answers[i].Failed != "" {
		return "failed"
	}
	values := res.Answers[i].values(metric)
	if len(values) == 0 {
		return "–"
	}
	if len(values) == 1 {
		return Figure(values[0])
	}
	return fmt.Sprintf("%s (%s–%s)", Figure(median(values)), Figure(values[0]), Figure(values[len(values)-1]))
}

// values are the metric's in all samples that have it, sorted.
func (a Answer) values(metric string) (values []float64) {
	for _, s := range a.Samples {
		if v, ok := s.Values[metric]; ok {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return values
}

// Median is the metric's median of a peer; ok is false if it was not measured.
func (r *Report) Median(question, peer, metric string) (v float64, ok bool) {
	for _, res := range r.Results {
		if res.Question != question {
			continue
		}
		for _, a := range res.Answers {
			if values := a.values(metric); a.Peer == peer && a.Failed == "" && len(values) > 0 {
				return median(values), true
			}
		}
	}
	return 0, false
}

// remarks says what a reader of the table must know: who was not there, and
// where the load generator itself may have been the limit.
func (r *Report) remarks() (lines []string) {
	const almostAll = 0.97
	for _, res := range r.Results {
		for _, a := range res.Answers {
			if a.Skipped != "" {
				line := a.Peer + " was skipped: " + a.Skipped + "."
				if !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
			if a.Failed != "" {
				first, _, _ := strings.Cut(a.Failed, "\n")
				lines = append(lines, fmt.Sprintf("%s: %s failed: %s.", res.Question, a.Peer, first))
			}
			for _, s := range a.Samples {
				if s.Values[LoadBusy] > almostAll {
					lines = append(lines, fmt.Sprintf("%s, %s: the load generator used a whole core, so this is its figure too.", res.Question, a.Peer))
					break
				}
			}
		}
	}
	return lines
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Figure writes v with three significant digits, and commas from a thousand on.
func Figure(v float64) string {
	if math.Abs(v) < 100 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	text := strconv.FormatFloat(math.Round(v/unit)*unit, 'f', 0, 64)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
