package settings

import (
	"fmt"
	"io"
	"strings"
)

// WriteReference writes docs/configuration.md: a table of every setting.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Configuration\n\n" +
		"`wrangler.jsonc`, `.json` or `.toml` holds what Cloudflare's tools understand. Dormouse's own settings stand beside it\n" +
		"in `dormouse.jsonc` (`--config` names another file), which may have comments. This table is made from the code.\n\n")
	b.WriteString("| in dormouse.jsonc | type | default | what it is |\n|---|---|---|---|\n")
	for _, s := range table {
		kind, def := string(s.Type), "`"+s.Default+"`"
		if s.Type == Choice {
			kind = "`" + strings.Join(s.Choices, "`, `") + "`"
		}
		if s.Default == "" {
			def = "none"
		}
		doc := s.Doc
		if s.PerClass() {
			doc += " Also for one class: `classes.NAME." + s.Name + "`."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, kind, def, doc)
	}
	b.WriteString("\nThe flag of a setting has dashes for dots and underscores (`--limits-message-bytes`), its environment\n" +
		"variable is in capitals with underscores (`DORMOUSE_LIMITS_MESSAGE_BYTES`). A flag comes before the\n" +
		"environment, the environment before the file, the file before the default. `dormouse config` prints\n" +
		"every value and where it came from.\n")
	_, err := io.WriteString(w, b.String())
	return err
}
