package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
)

// manifestFormat is the version of a Manifest and of what it lies beside.
const manifestFormat = 1

// Names within a version.
const (
	manifestName = "manifest.json"
	codeDir      = "code"
	assetsDir    = "assets"
)

// Bounds of a version. The package has one of its own: see Store.Add.
const (
	maxManifest = 32 << 20
	maxFiles    = 100_000
	maxAsset    = 25 << 20 // as on Cloudflare
)

// Manifest is what there is to know of a version beside its files. It holds the
// Worker's secrets.
type Manifest struct {
	Format int             `json:"format"`
	Hash   string          `json:"hash"`   // of what it does, wherever it was made
	Made   time.Time       `json:"made"`   // when it was bundled
	Source string          `json:"source"` // the project's folder, for people
	Config *project.Config `json:"config"`
	// Classes are the settings of each class; see settings.Class.
	Classes map[string]ClassSettings `json:"classes"`
	Files   map[string]File          `json:"files"` // by name within the version
}

// ClassSettings are Dormouse's own settings of a class. They belong to the
// version, not to the server.
type ClassSettings struct {
	KeepOnReset   bool `json:"keepOnReset,omitempty"`
	CloseOnUpdate bool `json:"closeOnUpdate,omitempty"`
	OwnGuest      bool `json:"ownGuest,omitempty"`
}

// File is what a file of a version must be.
type File struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Package is a version on its way to a server, or into a data folder.
type Package struct {
	Manifest *Manifest
	code     map[string][]byte
	assets   *os.Root // nil: none
	names    []string // of the files of assets
}

// Pack makes a package of a project and its bundle. Close it.
func Pack(c *project.Config, b *bundle.Bundle, classes map[string]ClassSettings) (*Package, error) {
	kept := *c
	kept.Warnings, kept.Files = nil, nil
	p := &Package{
		Manifest: &Manifest{
			Format: manifestFormat, Made: time.Now().UTC().Truncate(time.Second), Source: c.Dir,
			Config: &kept, Classes: classes, Files: make(map[string]File),
		},
		code: b.Files,
	}
	for name, content := range b.Files {
		p.Manifest.Files[path.Join(codeDir, name)] = fileOf(content)
	}
	if c.Assets != nil {
		if err := p.readAssets(c.Assets.Directory); err != nil {
			p.Close()
			return nil, fmt.Errorf("assets: %w", err)
		}
	}
	var err error
	if p.Manifest.Hash, err = p.Manifest.identity(b.Hash); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close releases the folder of assets.
func (p *Package) Close() {
	if p.assets != nil {
		p.assets.Close()
	}
}

func fileOf(content []byte) File {
	sum := sha256.Sum256(content)
	return File{Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

// readAssets lists the files of a folder with their sums. Links that lead out of
// it are an error.
func (p *Package) readAssets(dir string) (err error) {
	if p.assets, err = os.OpenRoot(dir); err != nil {
		return err
	}
	return fs.WalkDir(p.assets.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := p.assets.Stat(name)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			return fmt.Errorf("%s is a link to a folder; deploy copies files only", name)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is no file", name)
		case info.Size() > maxAsset:
			return fmt.Errorf("%s has %d bytes; the limit is %d", name, info.Size(), maxAsset)
		case len(p.names) == maxFiles:
			return fmt.Errorf("there are more than %d files", maxFiles)
		}
		content, err := p.assets.ReadFile(name)
		if err != nil {
			return err
		}
		p.names = append(p.names, name)
		p.Manifest.Files[path.Join(assetsDir, name)] = fileOf(content)
		return nil
	})
}

// identity is the same for versions that do the same, in whatever folder and
// whenever they were made.
func (m *Manifest) identity(code string) (string, error) {
	c := *m.Config
	c.File, c.Dir, c.Main = "", "", ""
	c.Build, c.Bundle = project.Build{}, project.Bundling{}
	if c.Assets != nil {
		a := *c.Assets
		a.Directory = ""
		c.Assets = &a
	}
	text, err := json.Marshal(struct {
		Code    string
		Config  project.Config
		Classes map[string]ClassSettings
	}{code, c, m.Classes})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write(text)
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if strings.HasPrefix(name, assetsDir+"/") {
			fmt.Fprintf(h, "%d %s %s\n", len(name), name, m.Files[name].SHA256)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// readManifest reads and checks one.
func readManifest(text []byte) (*Manifest, error) {
	if err := checkFormat(manifestName, text, manifestFormat); err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	if m.Config == nil || m.Config.Name == "" || m.Hash == "" {
		return nil, errors.New(manifestName + " names no Worker")
	}
	if len(m.Files) > maxFiles+maxFiles/10 {
		return nil, fmt.Errorf("%s lists %d files; the limit is %d", manifestName, len(m.Files), maxFiles)
	}
	if _, ok := m.Files[path.Join(codeDir, bundle.Entry)]; !ok {
		return nil, fmt.Errorf("%s lists no %s/%s", manifestName, codeDir, bundle.Entry)
	}
	for name := range m.Files {
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// checkName refuses names that a version has no place for.
func checkName(name string) error {
	folder, rest, ok := strings.Cut(name, "/")
	if !ok || path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(rest)) ||
		(folder != codeDir && folder != assetsDir) || strings.ContainsAny(name, "\\\x00") || len(name) > 1024 {
		return fmt.Errorf("file %q has no place in a version", name)
	}
	return nil
}
