package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// samples are values of each type, as a flag and the environment have them, and as
// `dormouse config` prints them. None is a default.
var samples = map[settings.Type]string{
	settings.Duration: "7m", settings.Bytes: "65MiB", settings.Int: "33", settings.Bool: "false", settings.Path: "/somewhere",
	settings.Address: "127.0.0.1:65001", settings.Addresses: "192.0.2.1/32", settings.Networks: "192.0.2.0/24", settings.URL: "http://127.0.0.1:4318",
}

// sample is such a value for a setting, and how it is written in the file.
func sample(s *settings.Setting) (text, inFile string) {
	text = samples[s.Type]
	switch {
	case s.Type == settings.Choice:
		text = s.Choices[slices.IndexFunc(s.Choices, func(c string) bool { return c != s.Default })]
	case s.Type == settings.Bytes && s.Max > 0 && s.Max < 65<<20:
		text = "7MiB"
	}
	b, _ := json.Marshal(text)
	switch s.Type {
	case settings.Addresses, settings.Networks:
		b = []byte("[" + string(b) + "]")
	case settings.Int, settings.Bool:
		b = []byte(text)
	}
	return text, string(b)
}

// together are settings that are refused without another.
var together = map[string]string{"tls_cert": "tls_key", "tls_key": "tls_cert"}

// TestEverySettingInEveryWay: what the reference lists is what there is, and each
// of it can be set in the file, by a flag and by the environment.
func TestEverySettingInEveryWay(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = true
	}
	all := make(map[string]*settings.Setting)
	for _, s := range settings.Table() {
		all[s.Name] = s
	}
	if got, want := slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Fatalf("docs/configuration.md has %q, the code has %q", got, want)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("wrangler.jsonc", `{"name": "w", "main": "w.js", "compatibility_date": "2026-11-17"}`)
	write("w.js", "export default {}")
	for _, s := range settings.Table() {
		text, inFile := sample(s)
		var flags []string
		env, file := make(map[string]string), ""
		for _, name := range []string{s.Name, together[s.Name]} {
			if name == "" {
				continue
			}
			flags = append(flags, "--"+all[name].Flag()+"="+text)
			env[all[name].Env()] = text
			file += nested(name, inFile) + ",\n"
		}
		for _, way := range []struct {
			source string // as `dormouse config` says it
			file   string
			env    map[string]string
			flags  []string
		}{
			{"dormouse.jsonc:2", file, nil, nil},
			{"--" + s.Flag(), "", nil, flags},
			{s.Env(), "", env, nil},
		} {
			t.Run(s.Name+" by "+way.source, func(t *testing.T) {
				write("dormouse.jsonc", "{\n"+way.file+"}")
				for k, v := range way.env {
					t.Setenv(k, v)
				}
				var out bytes.Buffer
				c := command()
				c.SetOut(&out)
				c.SetArgs(append([]string{"config", dir}, way.flags...))
				if err := c.Execute(); err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(out.String()) {
					if f := strings.Fields(line); len(f) == 3 && f[0] == s.Name {
						if f[1] != text || f[2] != way.source && !strings.HasSuffix(f[2], "/"+way.source) {
							t.Errorf("got %s from %s, want %s", f[1], f[2], text)
						}
						return
					}
				}
				t.Errorf("dormouse config says nothing of it:\n%s", out.String())
			})
		}
	}
}

// nested writes a setting as it stands in the file: objects for dots.
func nested(name, value string) string {
	outer, inner, ok := strings.Cut(name, ".")
	if ok {
		return `"` + outer + `": {` + nested(inner, value) + `}`
	}
	return `"` + outer + `": ` + value
}
