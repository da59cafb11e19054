package layers

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// pages are the Markdown files of the repository, by path from its top.
func pages(t *testing.T) map[string]string {
	t.Helper()
	top := filepath.Join("..", "..")
	list, err := exec.Command("git", "-C", top, "ls-files", "--cached", "--others", "--exclude-standard", "*.md").Output()
	if err != nil {
		t.Skipf("NOT TESTED: the files of the repository are not known: %v", err)
	}
	all := make(map[string]string)
	for _, path := range strings.Fields(string(list)) {
		if b, err := os.ReadFile(filepath.Join(top, path)); err == nil {
			all[path] = string(b)
		}
	}
	return all
}

var (
	fences  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	links   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	titles  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// slug is the anchor of a title.
func slug(title string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

// TestLinksLeadSomewhere: each link to another page, file or title of this
// repository.
func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	anchors := make(map[string]map[string]bool)
	for path, text := range all {
		anchors[path] = make(map[string]bool)
		for _, m := range titles.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
			anchors[path][slug(m[1])] = true
		}
	}
	for path, text := range all {
		for _, m := range links.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(filepath.Join("..", "..", file)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			} else if anchor != "" && anchors[file] != nil && !anchors[file][anchor] {
				t.Errorf("%s links to %s, which has no such title", path, m[1])
			}
		}
	}
}

// TestSettingsInTheDocsExist: whatever a page calls a setting is one. That each
// setting is in the reference is tested beside the settings.
func TestSettingsInTheDocsExist(t *testing.T) {
	group := regexp.MustCompile("`((?:limits|log|sockets|egress)\\.[a-z_]+)[`:]|`--((?:limits|log|sockets)-[a-z-]+)[` =]|(DORMOUSE_(?:LIMITS|LOG|SOCKETS)_[A-Z_]+)")
	for path, text := range pages(t) {
		for _, m := range group.FindAllStringSubmatch(text, -1) {
			found := false
			for _, s := range settings.Table() {
				found = found || m[1] == s.Name || m[2] == s.Flag() || m[3] == s.Env()
			}
			// The protocol has a configuration of its own; the past may have had others.
			if !found && path != "CHANGELOG.md" && path != "docs/guest-protocol.md" {
				t.Errorf("%s has %q, which is no setting", path, m[0])
			}
		}
	}
}
