package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/evanw/esbuild/pkg/api"

	sdk "github.com/dormouse-dev/dormouse/sdk/node"
)

// entries are bundled into one file each: the guest, and the worker thread that
// keeps its databases and watches it.
var entries = map[string]string{
	"main": "src/main.ts",
	"side": "src/side-thread.ts",
}

// prepareSDK writes the guest's own code into the data folder, each entry point
// bundled into one file, and returns where. It is done once for each version of
// the sources.
func prepareSDK(data string) (string, error) {
	sources, err := readAll(sdk.Sources)
	if err != nil {
		return "", fmt.Errorf("read the guest's own code: %w", err)
	}
	dir := filepath.Join(data, "sdk", digest(sources))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	files, err := bundleSDK(sources)
	if err == nil {
		err = writeOnce(dir, files)
	}
	if err != nil {
		return "", fmt.Errorf("build the guest's own code: %w", err)
	}
	return dir, nil
}

func readAll(tree fs.FS) (map[string][]byte, error) {
	files := make(map[string][]byte)
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[p], err = fs.ReadFile(tree, p)
		return err
	})
	return files, err
}

// bundleSDK makes one file of each entry point.
func bundleSDK(sources map[string][]byte) (map[string][]byte, error) {
	tmp, err := os.MkdirTemp("", "dormouse-sdk-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := writeOnce(filepath.Join(tmp, "sdk"), sources); err != nil {
		return nil, err
	}
	var points []api.EntryPoint
	for name, source := range entries {
		points = append(points, api.EntryPoint{OutputPath: name, InputPath: filepath.Join(tmp, "sdk", filepath.FromSlash(source))})
	}
	r := api.Build(api.BuildOptions{
		EntryPointsAdvanced: points, Bundle: true, Write: false, Outdir: tmp,
		Platform: api.PlatformNode, Format: api.FormatESModule, Target: api.ESNext,
		LogLevel: api.LogLevelSilent,
	})
	if len(r.Errors) > 0 {
		return nil, errors.New(r.Errors[0].Text)
	}
	files := map[string][]byte{"package.json": []byte(`{"type": "module"}`)}
	for _, f := range r.OutputFiles {
		files[path.Base(filepath.ToSlash(f.Path))] = ownNames(f.Contents)
	}
	return files, nil
}

var renamedClass = regexp.MustCompile(`(?m)^var (\w+) = class _(\w+)\b`)

// ownNames gives classes the names again that they have in the sources, because
// authors see them. The bundler writes a class that speaks of itself as "var C =
// class _C"; within the class both mean the same.
func ownNames(script []byte) []byte {
	for _, m := range renamedClass.FindAllSubmatch(script, -1) {
		if name := string(m[1]); name == string(m[2]) {
			script = regexp.MustCompile(`\b_`+name+`\b`).ReplaceAll(script, m[1])
		}
	}
	return script
}
