package runtimes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/tailscale/hujson"
)

// Worker is a folder with an ordinary Worker, as its wrangler.jsonc tells it.
// Only the keys that the Workers of this repository's comparisons use are read.
type Worker struct {
	Dir                string
	Name               string   `json:"name"`
	Main               string   `json:"main"`
	CompatibilityDate  string   `json:"compatibility_date"`
	CompatibilityFlags []string `json:"compatibility_flags"`
	DurableObjects     struct {
		Bindings []struct {
			Name      string `json:"name"`
			ClassName string `json:"class_name"`
		} `json:"bindings"`
	} `json:"durable_objects"`
	KV []struct {
		Binding string `json:"binding"`
		ID      string `json:"id"`
	} `json:"kv_namespaces"`
	R2 []struct {
		Binding string `json:"binding"`
		Bucket  string `json:"bucket_name"`
	} `json:"r2_buckets"`
}

// HasStores says whether it has bindings of KV or R2.
func (w Worker) HasStores() bool { return len(w.KV)+len(w.R2) > 0 }

// Load reads dir/wrangler.jsonc.
func Load(dir string) (Worker, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Worker{}, err
	}
	path := filepath.Join(dir, "wrangler.jsonc")
	text, err := os.ReadFile(path)
	if err != nil {
		return Worker{}, err
	}
	plain, err := hujson.Standardize(text)
	if err != nil {
		return Worker{}, fmt.Errorf("read %s: %w", path, err)
	}
	w := Worker{Dir: dir}
	if err := json.Unmarshal(plain, &w); err != nil {
		return Worker{}, fmt.Errorf("read %s: %w", path, err)
	}
	return w, nil
}

// Bundle returns the Worker as one ES module, with the conditions that
// Cloudflare's own tool uses.
func (w Worker) Bundle() ([]byte, error) {
	result := api.Build(api.BuildOptions{
		AbsWorkingDir: w.Dir,
		EntryPoints:   []string{w.Main},
		Bundle:        true,
		Format:        api.FormatESModule,
		Platform:      api.PlatformNeutral,
		Target:        api.ES2022,
		MainFields:    []string{"browser", "module", "main"},
		Conditions:    []string{"workerd", "worker", "browser"},
		External:      []string{"cloudflare:*", "node:*", "workerd:*"},
		KeepNames:     true,
	})
	if len(result.Errors) > 0 {
		lines := api.FormatMessages(result.Errors, api.FormatMessagesOptions{Kind: api.ErrorMessage})
		return nil, fmt.Errorf("bundle %s:\n%s", w.Dir, strings.Join(lines, ""))
	}
	return result.OutputFiles[0].Contents, nil
}
