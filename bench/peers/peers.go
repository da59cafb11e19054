// Package peers starts what the benchmarks compare Dormouse with, and Dormouse
// itself.
package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// The names of the peers, which are the table's columns.
const (
	Dormouse  = "Dormouse"
	Workerd   = "workerd"
	GoObjects = "Dormouse, Go objects"
	WS        = "ws"
	Bun       = "Bun"
	Gobwas    = "gobwas/ws"
	BareEpoll = "bare epoll"

	// InMemory is a shard alone, over sockets in memory.
	InMemory = "Dormouse, in memory"

	// Of partyserver's question, and of TLS's.
	PartyDormouse = "partyserver on Dormouse"
	PartyWorkerd  = "partyserver on workerd"
	TLSDormouse   = "Dormouse behind TLS"
	TLSWorkerd    = "workerd behind TLS"
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
	bare, err := ours(root, tmp, "bareepoll", BareEpoll, "one loop, no objects")
	if err != nil {
		return nil, err
	}
	inGo, err := ours(root, tmp, "goobjects", GoObjects, "this commit")
	if err != nil {
		return nil, err
	}
	inGo.Hibernates = 3 * hibernateAfter
	goroutines, err := ours(root, tmp, "gobwas", Gobwas, "a goroutine for each connection")
	if err != nil {
		return nil, err
	}
	inMemory, err := ours(root, tmp, "inmemory", InMemory, "this commit")
	if err != nil {
		return nil, err
	}
	inMemory.Special = true
	party, err := parties(root, tmp)
	if err != nil {
		return nil, err
	}
	behind, err := behindTLS(root, tmp, worker)
	if err != nil {
		return nil, err
	}
	return append(append([]contest.Peer{
		{
			Name:       Dormouse,
			Version:    dormouseVersion(),
			Hibernates: 3 * hibernateAfter,
			Worker:     true,
			Start: func(ctx context.Context) (*runtimes.Server, error) {
				return runtimes.StartDormouse(ctx, worker, hibernateAfter)
			},
		},
		{
			Name:       Workerd,
			Version:    version(runtimes.FindWorkerd()),
			Hibernates: 13 * time.Second,
			Worker:     true,
			Start: func(ctx context.Context) (*runtimes.Server, error) {
				return runtimes.StartWorkerd(ctx, worker)
			},
		},
		inGo,
		ws(root),
		bun(root),
		goroutines,
		bare,
		inMemory,
	}, party...), behind...), nil
}

// bun is Bun's own server, the npm package of tools.
func bun(root string) contest.Peer {
	arch := map[string]string{"amd64": "x64", "arm64": "aarch64"}[runtime.GOARCH]
	dir := filepath.Join(root, "tools/node_modules/@oven/bun-"+runtime.GOOS+"-"+arch)
	v, err := packageVersion(dir)
	return contest.Peer{
		Name: Bun, Version: v,
		Start: func(ctx context.Context) (*runtimes.Server, error) {
			if err != nil {
				return nil, err
			}
			return startTelling(ctx, exec.Command(filepath.Join(dir, "bin/bun"), filepath.Join(root, "bench/peers/bun/server.js")))
		},
	}
}

// ws is the npm package on Node, both from tools.
func ws(root string) contest.Peer {
	tools := filepath.Join(root, "tools")
	node, nodeErr := runtimes.FindNode()
	wsVersion, wsErr := packageVersion(filepath.Join(tools, "node_modules/ws"))
	return contest.Peer{
		Name:    WS,
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
		return "not here", fmt.Errorf("%s is %w: looked in %s; fetch it with make tools", filepath.Base(dir), runtimes.ErrNotHere, dir)
	}
	var p struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return "unknown", fmt.Errorf("read %s: %w", dir, err)
	}
	return p.Version, nil
}

// ours is a server below this folder.
func ours(root, tmp, folder, name, version string) (contest.Peer, error) {
	bin := filepath.Join(tmp, folder)
	if err := build(root, bin, folder); err != nil {
		return contest.Peer{}, err
	}
	return contest.Peer{
		Name:    name,
		Version: version,
		Start: func(ctx context.Context) (*runtimes.Server, error) {
			return startTelling(ctx, exec.Command(bin))
		},
	}, nil
}

// build builds a server below this folder.
func build(root, bin, folder string) error {
	build := exec.Command("go", "build", "-o", bin, "./bench/peers/"+folder)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", folder, err, out)
	}
	return nil
}

// told waits for the port that a server prints as its first line, and returns
// its address.
func told(s *runtimes.Server) (string, error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		if line, _, ok := strings.Cut(s.Log(), "\n"); ok {
			return net.JoinHostPort("127.0.0.1", strings.TrimSpace(line)), nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("the server did not print its port: %s", s.Log())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// startTelling starts a server that prints its port as its first line.
func startTelling(ctx context.Context, cmd *exec.Cmd) (*runtimes.Server, error) {
	s, err := runtimes.Start(cmd)
	if err != nil {
		return nil, err
	}
	if s.Addr, err = told(s); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s: %w", cmd.Path, err)
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
