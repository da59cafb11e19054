package peers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// parties are an application on partyserver, on two runtimes. It is copied to tmp
// beside tools' packages, where both bundlers find them.
func parties(root, tmp string) ([]contest.Peer, error) {
	version, absent := packageVersion(filepath.Join(root, "tools/node_modules/partyserver"))
	dir := filepath.Join(tmp, "party")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "bench/party"))); err != nil {
		return nil, fmt.Errorf("copy partyserver's application: %w", err)
	}
	if err := os.Symlink(filepath.Join(root, "tools/node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		return nil, err
	}
	worker, err := runtimes.Load(dir)
	if err != nil {
		return nil, err
	}
	peer := func(name string, start func(context.Context) (*runtimes.Server, error)) contest.Peer {
		return contest.Peer{Name: name, Version: "partyserver " + version, Special: true, Start: func(ctx context.Context) (*runtimes.Server, error) {
			if absent != nil {
				return nil, absent
			}
			return start(ctx)
		}}
	}
	return []contest.Peer{
		peer(PartyDormouse, func(ctx context.Context) (*runtimes.Server, error) {
			return runtimes.StartDormouse(ctx, worker, hibernateAfter)
		}),
		peer(PartyWorkerd, func(ctx context.Context) (*runtimes.Server, error) {
			return runtimes.StartWorkerd(ctx, worker)
		}),
	}, nil
}
