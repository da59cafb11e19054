// Command dormouse runs Durable Objects on your own machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Set by the linker.
var (
	version = "dev"
	commit  = ""
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	// Room for both, so that none is lost however close they come.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		// The first signal ends everything in order, the second one at once.
		<-signals
		cancel()
		second := (<-signals).(syscall.Signal)
		signal.Reset(second)
		syscall.Kill(os.Getpid(), second)
	}()
	err := command().ExecuteContext(ctx)
	var child *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &child):
		os.Exit(child.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "dormouse: "+err.Error())
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "dormouse",
		Short:         "Run Durable Objects on your own machine",
		SilenceErrors: true, // main says them
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; `%s --help` lists what there is", err, c.CommandPath())
	})
	root.AddCommand(runCommand(true), runCommand(false), deployCommand(), versionsCommand(), rollbackCommand(), upgradeCommand(), configCommand(), typesCommand(), versionCommand(), nodeCommand(), tailCommand(), checkCommand(), readyCommand(), inspectCommand(), objectsCommand(), storageCommand(), kvCommand(), r2Command(), backupCommand())
	return root
}
