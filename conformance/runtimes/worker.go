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
			Name       string `json:"name"`
			ClassName  string `json:"class_name"`
			ScriptName string `json:"script_name"` // of another Worker
		} `json:"bindings"`
	} `json:"durable_objects"`
	Services []struct {
		Binding    string          `json:"binding"`
		Service    string          `json:"service"`
		Entrypoint string          `json:"entrypoint"`
		Props      json.RawMessage `json:"props"`
	} `json:"services"`
	KV []struct {
		Binding string `json:"binding"`
		ID      string `json:"id"`
	} `json:"kv_namespaces"`
	R2 []struct {
		Binding string `json:"binding"`
		Bucket  string `json:"bucket_name"`
	} `json:"r2_buckets"`

	Texts map[string]string `json:"vars"`

	// Others are the Workers that it is bound to. They lie in folders beside its own.
	Others []Worker `json:"-"`
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
	return w, w.loadOthers()
}

// loadOthers reads the Workers that w is bound to.
func (w *Worker) loadOthers() error {
	known := map[string]bool{w.Name: true, "": true}
	load := func(name string) error {
		if known[name] {
			return nil
		}
		known[name] = true
		other, err := Load(filepath.Join(filepath.Dir(w.Dir), name))
		w.Others = append(w.Others, other)
		return err
	}
	for _, b := range w.DurableObjects.Bindings {
		if err := load(b.ScriptName); err != nil {
			return err
		}
	}
	for _, s := range w.Services {
		if err := load(s.Service); err != nil {
			return err
		}
	}
	return nil
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
