// Conformance runs the scripts of testdata against workerd and against Dormouse
// and compares what each answered with what stands in them.
//
//	go run ./conformance                    both sides, for real (about a minute)
//	go run ./conformance -side dormouse     only one of them
//	go run ./conformance -side go           objects written in Go
//	go run ./conformance -only 'tags|close' some scripts
//	go run ./conformance -record            take workerd's answers into the scripts
//	go run ./conformance -differs 'Not yet: …' -only calls
//	                                        take Dormouse's answers as differences
//	go run ./conformance -side go -table    and put what they cover into the README
//	go run ./conformance -table             put the tables of coverage into the READMEs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/conformance/script"
	"github.com/dormouse-dev/dormouse/conformance/suite"
)

type options struct {
	record, table       bool
	differs, only, side string
}

func main() {
	var o options
	flag.BoolVar(&o.record, "record", false, "take workerd's answers into the scripts")
	flag.StringVar(&o.differs, "differs", "", "take Dormouse's answers into the scripts as differences, for this reason")
	flag.StringVar(&o.only, "only", "", "run the scripts whose name matches this regular expression")
	flag.StringVar(&o.side, "side", "both", "workerd, dormouse, both, or go for objects written in Go")
	flag.BoolVar(&o.table, "table", false, "put the tables of coverage into conformance/README.md and README.md, and run nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

var sides = map[string][]script.Kind{
	"workerd":  {script.Workerd},
	"dormouse": {script.Dormouse},
	"both":     {script.Workerd, script.Dormouse},
}

var sideNames = map[script.Kind]string{script.Workerd: "workerd", script.Dormouse: "Dormouse"}

func run(ctx context.Context, o options) error {
	root, err := runtimes.Root()
	if err != nil {
		return err
	}
	match, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	dir := filepath.Join(root, "conformance/testdata")
	scripts, err := suite.Load(dir, match)
	if err != nil {
		return err
	}
	switch {
	case o.side == "go":
		return compareGo(ctx, root, scripts, o.table && o.only == "")
	case o.table && o.only != "":
		return errors.New("-table is made from all scripts: leave out -only")
	case o.table:
		return writeTables(root, scripts)
	case o.record:
		return recordAll(ctx, root, dir, scripts)
	case o.differs != "":
		return differAll(ctx, root, dir, scripts, o.differs)
	case sides[o.side] == nil:
		return fmt.Errorf("-side %q: want workerd, dormouse, go or both", o.side)
	}
	return compareAll(ctx, root, scripts, sides[o.side])
}

// compareGo holds the objects written in Go against the scripts, and puts what is
// covered into the table.
func compareGo(ctx context.Context, root string, scripts []*script.Script, table bool) error {
	scope, err := suite.LoadScope(root)
	if err != nil {
		return err
	}
	answers, err := suite.RunGo(ctx, scope.ForGo(scripts))
	if err != nil {
		return err
	}
	found, covered := scope.Compare(scripts, answers)
	for _, d := range found {
		fmt.Printf("Go: %s", d)
	}
	fmt.Printf("Go: %d scripts, %d steps answered otherwise than recorded\n", len(scripts), len(found))
	if len(found) > 0 {
		return fmt.Errorf("%d steps differ without a reason", len(found))
	}
	if !table {
		return nil
	}
	file := filepath.Join(root, "conformance/README.md")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	out, err := suite.PutGoTable(string(text), suite.GoTable(covered))
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(out), 0o644)
}

func compareAll(ctx context.Context, root string, scripts []*script.Script, sides []script.Kind) error {
	failed := 0
	for _, k := range sides {
		answers, err := suite.Run(ctx, root, k, scripts)
		if err != nil {
			return err
		}
		found := suite.Compare(k, scripts, answers)
		for _, d := range found {
			fmt.Printf("%s: %s", sideNames[k], d)
		}
		failed += len(found)
		fmt.Printf("%s: %d scripts, %d steps answered otherwise than recorded\n", sideNames[k], len(scripts), len(found))
	}
	if failed > 0 {
		return fmt.Errorf("%d steps differ without a reason", failed)
	}
	return nil
}

func recordAll(ctx context.Context, root, dir string, scripts []*script.Script) error {
	answers, err := suite.Run(ctx, root, script.Workerd, scripts)
	if err != nil {
		return err
	}
	for _, s := range scripts {
		for _, line := range s.Record(answers[s.Name]) {
			fmt.Printf("%s.txt:%d: the answer has changed and its differences were dropped: look at the diff\n", s.Name, line)
		}
		if err := suite.Save(dir, s); err != nil {
			return err
		}
	}
	fmt.Printf("%d scripts recorded\n", len(scripts))
	return nil
}

func differAll(ctx context.Context, root, dir string, scripts []*script.Script, reason string) error {
	answers, err := suite.Run(ctx, root, script.Dormouse, scripts)
	if err != nil {
		return err
	}
	for _, s := range scripts {
		s.Differ(answers[s.Name], reason)
		if err := suite.Save(dir, s); err != nil {
			return err
		}
	}
	fmt.Printf("%d scripts compared; read the diff\n", len(scripts))
	return nil
}

// writeTables puts what the scripts cover into conformance/README.md, and the sum
// of it into the front page.
func writeTables(root string, scripts []*script.Script) error {
	summary, err := suite.Summary(root, scripts)
	if err != nil {
		return err
	}
	for file, table := range map[string]string{"conformance/README.md": suite.Table(scripts), "README.md": summary} {
		file = filepath.Join(root, file)
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		out, err := suite.PutTable(string(text), table)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			return err
		}
	}
	return nil
}
