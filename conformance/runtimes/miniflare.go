package runtimes

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const miniflareScript = "conformance/miniflare/serve.mjs"

// StartMiniflare serves w with workerd and miniflare's KV and R2, which keep
// everything in memory. Its objects are left out.
func StartMiniflare(ctx context.Context, w Worker) (*Server, error) {
	if _, err := findBinary("miniflare", "MINIFLARE", "conformance/miniflare/node_modules/miniflare/package.json"); err != nil {
		return nil, fmt.Errorf("%w (npm ci in conformance/miniflare)", err)
	}
	root, err := Root()
	if err != nil {
		return nil, err
	}
	bin, err := FindDormouse() // it knows where Node is
	if err != nil {
		return nil, err
	}
	code, err := w.Bundle()
	if err != nil {
		return nil, err
	}
	options := map[string]any{
		"compatibilityDate": w.CompatibilityDate, "compatibilityFlags": append([]string{}, w.CompatibilityFlags...),
		"kvPersist": false, "r2Persist": false,
	}
	kv, r2 := make(map[string]string), make(map[string]string)
	for _, b := range w.KV {
		kv[b.Binding] = b.ID
	}
	for _, b := range w.R2 {
		r2[b.Binding] = b.Bucket
	}
	options["kvNamespaces"], options["r2Buckets"] = kv, r2
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "miniflare-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "worker.js")
	if err := os.WriteFile(file, code, 0o644); err != nil {
		return nil, err
	}
	s, err := startMiniflare(ctx, exec.Command(bin, "node", "--", filepath.Join(root, miniflareScript), file, string(text)))
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	s.cleanup = append(s.cleanup, func() { os.RemoveAll(dir) })
	return s, nil
}

// startMiniflare reads from its output where it listens.
func startMiniflare(ctx context.Context, cmd *exec.Cmd) (*Server, error) {
	stdin, err := cmd.StdinPipe() // it ends with us
	if err != nil {
		return nil, err
	}
	s, err := Start(cmd)
	if err != nil {
		return nil, err
	}
	s.cleanup = append(s.cleanup, func() { stdin.Close() })
	for end := time.Now().Add(startLimit); s.Addr == "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		lines := bufio.NewScanner(strings.NewReader(s.Log()))
		for lines.Scan() {
			if addr, ok := strings.CutPrefix(lines.Text(), "listens at "); ok {
				s.Addr = addr
			}
		}
	}
	if s.Addr == "" {
		s.Stop()
		return nil, fmt.Errorf("miniflare did not say where it listens; it printed:\n%s", s.Log())
	}
	if err := s.Ready(ctx, "/ready"); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}
