// Command demo shows in half a minute what sockets outlive: `make demo-outlive`.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/e2e/outlive"
	"github.com/dormouse-dev/dormouse/internal/project"
)

func main() {
	idle := flag.Int("idle", 1000, "sockets that say nothing")
	busy := flag.Int("busy", 50, "sockets that exchange numbered messages")
	each := flag.Int("each", 4, "how often each thing happens")
	pace := flag.Duration("pace", 0, "how long a busy one rests between an answer and its next message; 0: four messages are on their way all the time")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the order in which they do")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := show(ctx, *idle, *busy, *each, *pace, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "demo: "+err.Error())
		os.Exit(1)
	}
}

func show(ctx context.Context, idle, busy, each int, pace time.Duration, seed uint64) error {
	root, err := runtimes.Root()
	if err != nil {
		return err
	}
	node, err := project.FindNode(ctx, project.NodeSearch{Named: os.Getenv("DORMOUSE_NODE"), NamedBy: "DORMOUSE_NODE", Dir: root, Path: os.Getenv("PATH")})
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "outlive-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	fmt.Printf("%d idle sockets, and %d that exchange numbered messages with objects which answer with numbers of their own.\n"+
		"Meanwhile, in random order (seed %d): new code, kill -9 of the process that runs the objects, and a new process of Dormouse.\n\n", idle, busy, seed)
	const row = "%-28s %8d %9d %8d %6d %9d %7d %5d %8d\n"
	fmt.Printf("%-28s %8s %9s %8s %6s %9s %7s %5s %8s\n", "", "sockets", "messages", "deploys", "kills", "upgrades", "closed", "lost", "doubled")
	events := map[outlive.Kind]int{outlive.Deploy: each, outlive.Kill: each, outlive.Upgrade: each}
	done := make(map[outlive.Kind]int)
	inFlight := 4
	if pace > 0 {
		inFlight = 1
	}
	r, err := outlive.Run(ctx, outlive.Config{
		Binary: cmp.Or(os.Getenv("DORMOUSE_BIN"), filepath.Join(root, "bin", "dormouse")), Node: node.Path, Folder: folder,
		Idle: idle, Busy: busy, InFlight: inFlight, Pace: pace, Events: events, Seed: seed, Pause: time.Second,
		Progress: func(k outlive.Kind, took time.Duration, c *outlive.Counts) {
			done[k]++
			fmt.Printf(row, fmt.Sprintf("%s in %d ms", k, took.Milliseconds()), c.Sockets.Load()-c.Closed.Load(), c.Messages.Load(),
				done[outlive.Deploy], done[outlive.Kill], done[outlive.Upgrade], c.Closed.Load(), c.Lost.Load(), c.Doubled.Load())
		},
	})
	if err != nil {
		return err
	}
	fmt.Printf("\nLost are messages that a killed process may have begun; %d of them, and the log of the server has reported %d.\n"+
		"Tags and attachments of all sockets were compared at the end. The longest that a busy client waited for an answer:\n", r.Counts.Lost.Load(), r.Reported)
	for _, k := range []outlive.Kind{outlive.Nothing, outlive.Deploy, outlive.Kill, outlive.Upgrade} {
		if list := r.Silences[k]; len(list) > 0 {
			fmt.Printf("  %-10s  %5d ms (median of %d), %5d ms at most\n", k, list[len(list)/2].Milliseconds(), len(list), list[len(list)-1].Milliseconds())
		}
	}
	for _, f := range r.Failures {
		fmt.Println("FAILED:", f)
	}
	if len(r.Failures) > 0 || r.Counts.Closed.Load()+r.Counts.Doubled.Load()+r.Counts.Disordered.Load() > 0 || r.Counts.Lost.Load() > int64(r.Reported) {
		return fmt.Errorf("clients have seen what they must not see")
	}
	return nil
}
