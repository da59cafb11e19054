package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

const results = "bench/results"

// Marks of what is made in README.md.
const (
	figuresBegin = "<!-- figures: go run ./bench -publish -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// plots are drawn of every published result.
var plots = []struct {
	file, question string
	metric         string // empty: of latencies
}{
	{"round-trip.svg", "round trip, 1 socket", ""},
	{"echo-rate.svg", echoOne, "rate"},
	{"echo-open-loop.svg", openName, ""},
	{"durable-chat.svg", chatName, ""},
	{"durable-chat-rate.svg", chatName, "rate"},
	{"connects.svg", "connects", "rate"},
	{"wake.svg", wakeName, ""},
	{"quiet-neighbour.svg", "echo beside an object that burns CPU", ""},
}

// row is a line of README's table.
type row struct{ label, question, metric, unit string }

// rows lead with one message on the way and with what is kept on disk: that is
// what people mostly have.
var rows = []row{
	{"one socket, round trip p50", "round trip, 1 socket", "p50", " µs"},
	{"durable chat, 50 rooms × 20: messages/s kept and heard by all", chatName, "rate", ""},
	{"— p50", chatName, "p50", " µs"},
	{"echo, 100 sockets × 1 in flight, messages/s", echoOne, "rate", ""},
	{"— CPU of the whole process tree per message", echoOne, "cpu", " µs"},
	{"echo at 5,000 messages/s, p99 from when each was due", openName, "p99", " µs"},
	{"echo, 100 × 32, messages/s", echoMany, "rate", ""},
	{"broadcast to 200, deliveries/s", "broadcast, 1 → 200", "rate", ""},
	{"broadcast to 1,000, deliveries/s", "broadcast, 1 → 1000", "rate", ""},
	{"auto-response, 100 × 32, messages/s", "auto-response, 100 sockets × 32 in flight", "rate", ""},
	{"connects/s", "connects", "rate", ""},
	{"wake of a hibernated object, p50", wakeName, "p50", " µs"},
	{"memory of an idle hibernated socket, whole process tree", "memory of an idle socket, hibernated", "bytes", " B"},
}

// columns are the peers of README's table; the others are in bench/results.
var columns = []string{peers.Dormouse, peers.Workerd, peers.WS, peers.Bun, peers.BareEpoll}

// figures writes README's part.
func figures(w io.Writer, r *contest.Report) {
	fmt.Fprintf(w, "\nMedians of one run of %v, servers asked in turn, on %d × %s with the load generator beside them, %s, commit %s. The same Worker under\n"+
		"Dormouse and `workerd` %s; beside them what one would otherwise write: `ws` and Bun, which have no objects, and a bare epoll loop as the limit.\n\n",
		r.Took, r.Machine.Cores, r.Machine.CPU, r.Date.Format("2006-01-02"), r.Commit, strings.TrimPrefix(r.Versions[peers.Workerd], "workerd "))
	fmt.Fprintf(w, "| | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---:|", len(columns)))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |", row.label)
		for _, p := range columns {
			cell := "–"
			if v, ok := r.Median(row.question, p, row.metric); ok {
				cell = contest.Figure(v) + row.unit
			}
			fmt.Fprintf(w, " %s |", cell)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "\n![durable chat: how long a message takes](bench/results/durable-chat.svg)\n\n"+
		"[All figures, bars, and what each was](bench/results/README.md), with memory, CPU and spread of every row. `make bench` repeats them on your\nmachine in ten minutes; [bench/](bench/README.md) says how they are measured.\n\n")
}

// details writes bench/results/README.md.
func details(w io.Writer, r *contest.Report, file string) {
	fmt.Fprintf(w, "# Results\n\nMade by `go run ./bench -publish` from [%s](%s): raw numbers of every round, and every latency in buckets of 3 %%.\n"+
		"Medians, with the least and the most round in parentheses. A run of %v.\n\n## Bars\n\n", file, file, r.Took)
	r.BarTable(w, bars)
	fmt.Fprint(w, "\n## Distributions\n\n")
	for _, p := range plots {
		fmt.Fprintf(w, "![%s](%s)\n\n", p.question, p.file)
	}
	fmt.Fprint(w, "## All questions\n\n")
	r.Table(w)
}

// published is everything that is made from a result file, by its path.
func published(root, file string) (map[string][]byte, error) {
	r, err := contest.Read(filepath.Join(root, results, file))
	if err != nil {
		return nil, err
	}
	made := make(map[string][]byte)
	var b bytes.Buffer
	details(&b, r, file)
	made[filepath.Join(results, "README.md")] = bytes.Clone(b.Bytes())
	for _, p := range plots {
		b.Reset()
		if p.metric == "" {
			err = r.LatencyPlot(&b, p.question)
		} else {
			err = r.RoundsPlot(&b, p.question, p.metric)
		}
		if err != nil {
			return nil, err
		}
		made[filepath.Join(results, p.file)] = bytes.Clone(b.Bytes())
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		return nil, err
	}
	before, rest, ok := strings.Cut(string(readme), figuresBegin)
	_, after, ok2 := strings.Cut(rest, figuresEnd)
	if !ok || !ok2 {
		return nil, fmt.Errorf("README.md has no place for the figures: it needs the lines %q and %q", figuresBegin, figuresEnd)
	}
	b.Reset()
	figures(&b, r)
	made["README.md"] = []byte(before + figuresBegin + b.String() + figuresEnd + after)
	return made, nil
}

// newest is the last result file; empty if there is none.
func newest(root string) (string, error) {
	files, err := filepath.Glob(filepath.Join(root, results, "*.json"))
	if err != nil || len(files) == 0 {
		return "", err
	}
	return filepath.Base(slices.Max(files)), nil
}

// publish makes everything from the newest result file.
func publish(root string) error {
	file, err := newest(root)
	if err != nil {
		return err
	}
	if file == "" {
		return fmt.Errorf("%s has no results: make them with make bench", results)
	}
	made, err := published(root, file)
	if err != nil {
		return err
	}
	for name, text := range made {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "published %s in README.md and %s\n", file, results)
	return nil
}
