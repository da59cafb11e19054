// Package peers starts what the benchmarks compare Dormouse with, and Dormouse
// itself.
package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// hibernateAfter is what Dormouse is told; workerd's ten seconds are fixed.
const hibernateAfter = time.Second

// All returns the peers in the order of the table's columns. tmp is a folder
// for what has to be built.
func All(root, tmp string) ([]contest.Peer, error) {
	worker, err := runtimes.Load(filepath.Join(root, "bench/worker"))
	if err != nil {
		return nil, err
	}
	bare, err := ours(root, tmp, "bareepoll", "bare epoll", "one loop, no objects")
	if err != nil {
		return nil, err
	}
	inGo, err := ours(root, tmp, "goobjects", "Dormouse, Go objects", "this commit")
	if err != nil {
		return nil, err
	}
	inGo.Hibernates = 3 * hibernateAfter
	return []contest.Peer{
		{
			Name:       "Dormouse",
			Version:    dormouseVersion(),
			Hibernates: 3 * hibernateAfter,
			Worker:     true,
			Start: func(ctx context.Context) (*runtimes.Server, error) {
				return runtimes.StartDormouse(ctx, worker, hibernateAfter)
			},
		},
		{
			Name:       "workerd",
			Version:    version(runtimes.FindWorkerd()),
			Hibernates: 13 * time.Second,
			Worker:     true,
			Start: func(ctx context.Context) (*runtimes.Server, error) {
				return runtimes.StartWorkerd(ctx, worker)
			},
		},
		inGo,
		ws(root),
		bare,
	}, nil
}

// ws is the npm package on Node, both from tools.
func ws(root string) contest.Peer {
	tools := os.Getenv("BENCH_WS")
	if tools == "" {
		tools = filepath.Join(root, "tools")
	}
	node, nodeErr := runtimes.FindNode()
	wsVersion, wsErr := packageVersion(filepath.Join(tools, "node_modules/ws"))
	return contest.Peer{
		Name:    "ws",
		Version: fmt.Sprintf("ws %s on Node %s", wsVersion, version(node, nodeErr)),
		Start: func(ctx context.Context) (*runtimes.Server, error) {
			if err := errors.Join(nodeErr, wsErr); err != nil {
				return nil, err
			}
			return startTelling(ctx, exec.Command(node, filepath.Join(root, "bench/peers/ws/server.mjs"), tools))
		},
	}
}

// packageVersion reads which version of a package is installed in dir.
func packageVersion(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return "not here", fmt.Errorf("ws is %w: looked in %s; install tools, or set BENCH_WS to a folder whose node_modules has it", runtimes.ErrNotHere, dir)
	}
	var p struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return "unknown", fmt.Errorf("read %s: %w", dir, err)
	}
	return p.Version, nil
}

// ours builds a server below this folder.
func ours(root, tmp, folder, name, version string) (contest.Peer, error) {
	bin := filepath.Join(tmp, folder)
	build := exec.Command("go", "build", "-o", bin, "./bench/peers/"+folder)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return contest.Peer{}, fmt.Errorf("build %s: %w\n%s", folder, err, out)
	}
	return contest.Peer{
		Name:    name,
		Version: version,
		Start: func(ctx context.Context) (*runtimes.Server, error) {
			return startTelling(ctx, exec.Command(bin))
		},
	}, nil
}

// startTelling starts a server that prints its port as its first line.
func startTelling(ctx context.Context, cmd *exec.Cmd) (*runtimes.Server, error) {
	s, err := runtimes.Start(cmd)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		line, err := bufio.NewReader(strings.NewReader(s.Log())).ReadString('\n')
		if err == nil {
			s.Addr = net.JoinHostPort("127.0.0.1", strings.TrimSpace(line))
			break
		}
		if time.Now().After(deadline) {
			s.Stop()
			return nil, fmt.Errorf("%s did not print its port: %s", cmd.Path, s.Log())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Ready(ctx, "/ready"); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// dormouseVersion says only whether there is a Dormouse: which, the report's
// commit says.
func dormouseVersion() string {
	if _, err := runtimes.FindDormouse(); err != nil {
		return "not here"
	}
	return "this commit"
}

// version is the first line of what the binary says about itself.
func version(bin string, err error) string {
	if err != nil {
		return "not here"
	}
	out, err := exec.Command(bin, "--version").Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}
