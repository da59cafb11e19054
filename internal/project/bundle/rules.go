package bundle

import (
	"regexp"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/project"
)

// defaultRules come after the project's own, as in wrangler.
var defaultRules = []project.Rule{
	{Type: project.RuleText, Globs: []string{"**/*.txt", "**/*.html", "**/*.sql"}},
	{Type: project.RuleData, Globs: []string{"**/*.bin"}},
	{Type: project.RuleCompiledWasm, Globs: []string{"**/*.wasm", "**/*.wasm?module"}},
}

// splitRules tells the rules in force from those that an earlier rule of the
// same type, without fallthrough, has put out of force.
func splitRules(own []project.Rule) (used, removed []project.Rule) {
	closed := make(map[project.RuleType]bool)
	for _, r := range append(own[:len(own):len(own)], defaultRules...) {
		if closed[r.Type] {
			removed = append(removed, r)
			continue
		}
		used = append(used, r)
		closed[r.Type] = r.Fallthrough == nil || !*r.Fallthrough
	}
	return used, removed
}

// globFilter is the expression that the npm package glob-to-regexp makes, which
// wrangler matches against what an import says: stars cross slashes, and all
// else is literal.
func globFilter(glob string) string {
	literals := stars.Split(glob, -1)
	for i := range literals {
		literals[i] = regexp.QuoteMeta(literals[i])
	}
	return "^" + strings.Join(literals, ".*") + "$"
}

var stars = regexp.MustCompile(`\*+`)
