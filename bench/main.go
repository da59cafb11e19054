// Bench asks a few questions about speed and size of Dormouse and of the
// servers beside it, and prints a table.
//
//	go run ./bench             about ten minutes; keeps and publishes what it found
//	go run ./bench -quick      about three, with more noise; keeps nothing
//	go run ./bench -only echo  the questions whose folder or name matches; keeps nothing
//	go run ./bench -table bench/results/FILE.json
//	go run ./bench -publish    makes tables and plots again from the newest result
package main

import (
	"cmp"
	"context"
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

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/peers"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

func main() {
	hurry := flag.Bool("quick", false, "about a minute, with more noise")
	only := flag.String("only", "", "ask the questions whose name matches this regular expression")
	who := flag.String("peers", "", "ask the peers whose name matches this regular expression")
	out := flag.String("out", "", "folder for the result file; without it only a whole run is kept, in bench/results, and published")
	table := flag.String("table", "", "print the table of a result file and do nothing else")
	again := flag.Bool("publish", false, "make README's figures, bench/results/README.md and the plots from the newest result, and do nothing else")
	flag.Parse()
	if err := run(options{*hurry, *only, *who, *out, *table, *again}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	quick                   bool
	only, peers, out, table string
	publish                 bool
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
	if o.publish {
		return publish(root)
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
	began := time.Now()
	r := contest.Run{Peers: all, Pace: report.Pace, Progress: os.Stderr}
	for _, g := range groups() {
		g.Questions = slices.DeleteFunc(g.Questions, func(q contest.Question) bool {
			return !match.MatchString(g.Name) && !match.MatchString(q.Name)
		})
		if len(g.Questions) == 0 {
			continue
		}
		results, err := r.Put(ctx, g)
		if err != nil {
			return err
		}
		report.Results = append(report.Results, results...)
	}
	if len(report.Results) == 0 {
		return fmt.Errorf("no question matches %q", o.only)
	}
	report.Took = time.Since(began).Round(time.Second)
	report.Table(os.Stdout)
	fmt.Println()
	report.BarTable(os.Stdout, bars)
	isWhole := !o.quick && o.only == "" && o.peers == ""
	if o.out == "" && !isWhole {
		return nil
	}
	file, err := keep(cmp.Or(o.out, filepath.Join(root, results)), report)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "kept in", file)
	if o.out != "" {
		return nil
	}
	return publish(root)
}

func keep(dir string, r contest.Report) (string, error) {
	text, err := r.Encode()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, r.Date.Format("2006-01-02T1504Z")+".json")
	return file, os.WriteFile(file, text, 0o644)
}

func printTable(file string) error {
	r, err := contest.Read(file)
	if err != nil {
		return err
	}
	r.Table(os.Stdout)
	fmt.Println()
	r.BarTable(os.Stdout, bars)
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
