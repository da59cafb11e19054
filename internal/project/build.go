package project

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// RunBuild runs the project's build command, if there is one, and checks that
// the entry point is there afterwards. What the command says goes to out. When
// ctx ends, the command and whatever it started end with it.
func (c *Config) RunBuild(ctx context.Context, out io.Writer) error {
	if c.Build.Command == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", c.Build.Command)
	cmd.Dir = c.Build.Dir
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own, so that a build tool's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A child that was left behind must not hold the output open for ever.
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &source.Problem{File: source.Display(c.File), Key: "build.command",
			Message: fmt.Sprintf("the build command %q: %v", c.Build.Command, err),
			Hint:    "It ran in " + source.Display(c.Build.Dir) + "; what it said stands above."}
	}
	return c.CheckMain()
}
