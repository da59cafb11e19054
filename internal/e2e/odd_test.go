package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestValuesAtTheLimits: what is as large as it may be is stored and comes back,
// also after a kill; what is larger is refused with SQLite's or our own word for
// it, in its own request, and the object goes on.
func TestValuesAtTheLimits(t *testing.T) {
	t.Parallel()
	o := Options{Dir: VaultDir(t), Data: filepath.Join(t.TempDir(), "data")}
	d := StartDormouse(t, o)
	v := Vault{t, d.URL}
	const name = "limits"
	put := func(key, value string) error {
		_, err := TryAsk[any](t.Context(), v, name, "put", map[string]string{"key": key, "value": value})
		return err
	}
	sql := func(statement string) error {
		_, err := TryAsk[any](t.Context(), v, name, "sql", statement)
		return err
	}
	columns := func(n int) string { return strings.TrimSuffix(strings.Repeat("1, ", n), ", ") }
	deep := func(n int) string { return strings.Repeat("(1+", n) + "1" + strings.Repeat(")", n) }
	for _, c := range []struct {
		what    string
		allowed error
		refused error
		text    string
	}{
		{"a value", put("value", strings.Repeat("v", 2_000_000)), put("beyond", strings.Repeat("v", 9_000_000)), "too big"},
		{"a row", sql("CREATE TABLE big AS SELECT zeroblob(2000000) AS b"), sql("INSERT INTO big VALUES (zeroblob(9000000))"), "too big"},
		{"columns", sql("SELECT " + columns(100)), sql("SELECT " + columns(101)), "too many columns"},
		{"a statement", sql("SELECT 1 /*" + strings.Repeat("x", 99_900) + "*/"), sql("SELECT 1 /*" + strings.Repeat("x", 100_000) + "*/"), "too long"},
		{"an expression", sql("SELECT " + deep(90)), sql("SELECT " + deep(110)), "too large"},
		{"parts of a SELECT", sql("SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 4)), sql("SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 5)), "too many terms"},
		{"variables", sql("SELECT 1"), sql("SELECT ?101"), "variable number"},
		{"other databases", sql("SELECT 1"), sql("ATTACH 'x' AS y"), "not authorized"},
	} {
		if c.allowed != nil {
			t.Errorf("%s, as large as it may be: %v", c.what, c.allowed)
		}
		if c.refused == nil || !strings.Contains(c.refused.Error(), c.text) {
			t.Errorf("%s, larger: %v, want an error that says %q", c.what, c.refused, c.text)
		}
	}
	keys := []string{"", "nul\x00in the middle", "\x00", "nul\x00", "%_'\"", strings.Repeat("k", 2048), "\U0001F600"}
	for _, key := range keys {
		if err := put(key, "of "+key); err != nil {
			t.Errorf("key %.20q: %v", key, err)
		}
	}
	d.Kill()
	d = StartDormouse(t, o)
	v.URL = d.URL
	for _, key := range keys {
		if got := Ask[any](v, name, "get", key); got != "of "+key {
			t.Errorf("key %.20q: got %.40q", key, got)
		}
	}
	if got := Ask[string](v, name, "get", "value"); len(got) != 2_000_000 {
		t.Errorf("the largest value came back with %d bytes", len(got))
	}
	if got := Ask[any](v, name, "get", "beyond"); got != nil {
		t.Errorf("what was refused is there: %.40v", got)
	}
	if got := fmt.Sprint(Ask[[]map[string]any](v, name, "sql", "SELECT count(*) AS n, max(length(b)) AS bytes FROM big")); got != "[map[bytes:2e+06 n:1]]" {
		t.Errorf("the largest row: %s", got)
	}
}
