package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/dormouse-dev/dormouse/conformance/drive"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/conformance/script"
)

// changing is a Worker whose code changes: a copy of one, in a folder of its own.
type changing struct {
	runtimes.Worker
	updates int
}

func newChanging(w runtimes.Worker) (*changing, error) {
	dir, err := os.MkdirTemp("", "changing-")
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, os.DirFS(w.Dir)); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	w.Dir = dir
	// workerd has no other way; Dormouse has, and is told to do the same.
	err = os.WriteFile(filepath.Join(dir, "dormouse.jsonc"), []byte(`{"sockets": {"on_update": "close"}}`), 0o644)
	return &changing{Worker: w}, err
}

// change gives the code another version, which the probe "code" tells.
func (c *changing) change() error {
	c.updates++
	f, err := os.OpenFile(filepath.Join(c.Dir, c.Main), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\n(globalThis as { codeVersion?: number }).codeVersion = %d;\n", c.updates)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// startAlone starts a server for one script that changes its code.
func startAlone(ctx context.Context, side script.Kind, of runtimes.Worker, more []string) (rt drive.Runtime, stop func(), err error) {
	w, err := newChanging(of)
	if err != nil {
		return rt, nil, err
	}
	server, rt, err := start(ctx, side, w.Worker, more)
	if err != nil {
		os.RemoveAll(w.Dir)
		return rt, nil, err
	}
	rt.Update = func(ctx context.Context) (string, error) {
		if err := w.change(); err != nil {
			return "", err
		}
		if side == script.Workerd {
			next, err := runtimes.UpdateWorkerd(ctx, server, w.Worker)
			if err != nil {
				return "", err
			}
			server = next
			return server.Addr, nil
		}
		bin, err := runtimes.FindDormouse()
		if err != nil {
			return "", err
		}
		if out, err := exec.CommandContext(ctx, bin, "deploy", w.Dir, "--to", server.Admin).CombinedOutput(); err != nil {
			return "", fmt.Errorf("dormouse deploy: %w: %s", err, out)
		}
		return server.Addr, nil
	}
	return rt, func() {
		server.Stop()
		os.RemoveAll(w.Dir)
	}, nil
}
