// Bench asks a few questions about speed and size of Dormouse and of the
// servers beside it, and prints a table.
//
//	go run ./bench             about four minutes
//	go run ./bench -quick      about one, with more noise
//	go run ./bench -only echo  the questions whose name matches
//	go run ./bench -table bench/results/FILE.json
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/bench/alarms"
	"github.com/dormouse-dev/dormouse/bench/autoresponse"
	"github.com/dormouse-dev/dormouse/bench/broadcast"
	"github.com/dormouse-dev/dormouse/bench/calls"
	"github.com/dormouse-dev/dormouse/bench/connects"
	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/durable"
	"github.com/dormouse-dev/dormouse/bench/echo"
	"github.com/dormouse-dev/dormouse/bench/memory"
	"github.com/dormouse-dev/dormouse/bench/peers"
	"github.com/dormouse-dev/dormouse/bench/roundtrip"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

func questions() []contest.Question {
	return []contest.Question{
		roundtrip.Question(),
		echo.Question(1),
		echo.Question(32),
		broadcast.Question(),
		autoresponse.Question(),
		connects.Question(),
		alarms.Question(),
		calls.Question(1, 1<<10),
		calls.Question(64, 1<<10),
		calls.Question(1, 1<<20),
		durable.Replies(1),
		durable.Replies(16),
		durable.Replies(100),
		durable.Replies(256),
		durable.Statements("insert", "statement", 1000),
		durable.Statements("select", "statement", 1000),
		durable.Statements("putget", "put and get", 1000),
		durable.Neighbour(50),
		durable.Cold(),
		memory.Question(),
	}
}

var (
	whole = contest.Pace{Rounds: 5, Warm: 300 * time.Millisecond, Measure: 1200 * time.Millisecond, Connects: 1000, Idle: 15000}
	quick = contest.Pace{Rounds: 2, Warm: 100 * time.Millisecond, Measure: 400 * time.Millisecond, Connects: 300, Idle: 2000}
)

func main() {
	hurry := flag.Bool("quick", false, "about a minute, with more noise")
	only := flag.String("only", "", "ask the questions whose name matches this regular expression")
	who := flag.String("peers", "", "ask the peers whose name matches this regular expression")
	out := flag.String("out", "", "folder of the result file (default bench/results)")
	table := flag.String("table", "", "print the table of a result file and do nothing else")
	flag.Parse()
	if err := run(options{*hurry, *only, *who, *out, *table}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	quick                   bool
	only, peers, out, table string
}

func run(o options) error {
	if o.table != "" {
		return printTable(o.table)
	}
	match, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	matchPeer, err := regexp.Compile(o.peers)
	if err != nil {
		return fmt.Errorf("-peers: %w", err)
	}
	root, err := runtimes.Root()
	if err != nil {
		return err
	}
	if o.out == "" {
		o.out = filepath.Join(root, "bench/results")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tmp, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	all, err := peers.All(root, tmp)
	if err != nil {
		return err
	}

	all = slices.DeleteFunc(all, func(p contest.Peer) bool { return !matchPeer.MatchString(p.Name) })

	report := contest.Report{Date: time.Now().UTC(), Commit: commit(root), Machine: machine(), Versions: map[string]string{}, Pace: whole}
	if o.quick {
		report.Pace = quick
	}
	for _, p := range all {
		report.Versions[p.Name] = p.Version
	}
	for _, q := range questions() {
		if !match.MatchString(q.Name) {
			continue
		}
		answers, err := contest.Put(ctx, q, all, report.Pace, os.Stderr)
		if err != nil {
			return err
		}
		report.Results = append(report.Results, contest.Result{Question: q.Name, Asks: q.Asks, Metrics: q.Metrics, Answers: answers})
	}
	if len(report.Results) == 0 {
		return fmt.Errorf("no question matches %q", o.only)
	}
	report.Table(os.Stdout)
	file, err := keep(o.out, report)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "kept in", file)
	return nil
}

func keep(dir string, r contest.Report) (string, error) {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, r.Date.Format("2006-01-02T1504Z")+".json")
	return file, os.WriteFile(file, append(text, '\n'), 0o644)
}

func printTable(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r contest.Report
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	r.Table(os.Stdout)
	return nil
}

// commit names the tree that was measured.
func commit(root string) string {
	git := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
	git.Dir = root
	out, err := git.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func machine() contest.Machine {
	m := contest.Machine{CPU: "unknown", Cores: runtime.NumCPU()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name\t: "); ok {
			m.CPU, _, _ = strings.Cut(rest, "\n")
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			kb, _ := strconv.ParseUint(fields[1], 10, 64)
			m.Memory = kb << 10
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}
