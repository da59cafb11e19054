package main

import (
	"errors"
	"os"
	"regexp"
	"testing"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/conformance/script"
	"github.com/dormouse-dev/dormouse/conformance/suite"
)

// Where sockets do not outlive their code, as on Cloudflare, Dormouse answers as
// workerd did. Here are the scripts in which sockets meet the end of an instance;
// the soak has all of them.
func TestDormouseThatClosesOnUpdateAnswersAsRecorded(t *testing.T) {
	if testing.Short() {
		t.Skip("runs scripts against Dormouse")
	}
	t.Parallel()
	only := regexp.MustCompile(`^(update|reset|unsafe|hibernation|close|wake)$`)
	if os.Getenv("DORMOUSE_SOAK") != "" {
		only = nil
	}
	scripts, err := suite.Load("testdata", only)
	if err != nil {
		t.Fatal(err)
	}
	root, err := runtimes.Root()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(scripts []*script.Script) []script.Difference {
		answers, err := suite.Run(t.Context(), root, script.Dormouse, scripts, "--sockets-on-update", "close", "--sockets-on-reset", "drop")
		if errors.Is(err, runtimes.ErrNotHere) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return suite.Compare(script.Dormouse, scripts, answers)
	}
	for _, d := range recurring(t, scripts, ask(scripts), ask) {
		t.Error(d)
	}
}
