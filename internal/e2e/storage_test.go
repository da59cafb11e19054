package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An operator looks into objects and changes them, while the server runs and
// when it does not, with the same commands and the same answers.
func TestStorageCommands(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := StartDormouse(t, Options{Dir: VaultDir(t), Data: data, HibernateAfter: time.Minute})
	v := Vault{t, d.URL}
	Ask[any](v, "box", "everything", nil)
	id := Ask[string](v, "box", "id", nil)

	look := func(t *testing.T) {
		storage := func(args ...string) string {
			t.Helper()
			return Command(t, append([]string{"storage", "--data", data}, args...)...)
		}
		refused := func(want string, args ...string) {
			t.Helper()
			if out, err := TryCommand(t, append([]string{"storage", "--data", data}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v (printed %q), want %q", args, err, out, want)
			}
		}
		equal := func(got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		}
		equal(storage("sql", "vault-Vault", "name:box", "SELECT id, a, b FROM t"), "id  a    b\n1   one  x'00ff'\n2   2.5  NULL\n")
		equal(storage("sql", "Vault", id, "SELECT 9007199254740993 AS big, count(*) AS n FROM f WHERE f MATCH 'hello'", "--json"),
			`{"columns":["big","n"],"rows":[[{"integer":"9007199254740993"},1]],"more":false,"changed":0}`+"\n")
		refused("say --write", "sql", "Vault", "name:box", "DELETE FROM t")
		refused("no such table: nowhere", "sql", "Vault", "name:box", "SELECT * FROM nowhere")
		refused("there is no namespace \"Box\"; there are vault-Vault", "sql", "Box", "name:box", "SELECT 1")
		refused("give 64 hex digits", "sql", "Vault", "box", "SELECT 1")
		refused("has no data", "sql", "Vault", "name:nobody", "SELECT 1")

		equal(storage("kv", "get", "Vault", "name:box", "value map"), "Map(2) { 'a' => 1, { k: 1 } => Set(2) { 1, 'two' } }\n")
		equal(storage("kv", "get", "Vault", "name:box", "value array", "--json"), `[1,[2,[3]],{"four":4}]`+"\n")
		refused("cannot be said in JSON", "kv", "get", "Vault", "name:box", "value map", "--json")
		refused("has no key", "kv", "get", "Vault", "name:box", "nothing")
		list := storage("kv", "list", "Vault", "name:box", "--prefix", "key ")
		if n := strings.Count(list, "\n"); n != 5 || !strings.Contains(list, "key slash/key  'slash/key'\n") || !strings.Contains(list, `'nul\x00key'`) {
			t.Errorf("the keys are listed as\n%s", list)
		}

		storage("kv", "put", "Vault", "name:box", "from outside", `{"list": [1, "two", null], "n": 1e3}`)
		equal(storage("kv", "get", "Vault", "name:box", "from outside"), "{ list: [ 1, 'two', null ], n: 1000 }\n")
		refused("not JSON", "kv", "put", "Vault", "name:box", "from outside", "no quotes")
		storage("kv", "delete", "Vault", "name:box", "from outside")
		refused("has no key", "kv", "delete", "Vault", "name:box", "from outside")
		equal(storage("sql", "Vault", "name:box", "--write", "INSERT INTO t VALUES (3, 'three', x'') RETURNING id; SELECT count(*) AS n FROM t"), "n\n3\n1 rows changed\n")
		refused("UNIQUE", "sql", "Vault", "name:box", "--write", "INSERT INTO t VALUES (4, 4, 4); INSERT INTO t VALUES (1, 1, 1)")
		equal(storage("sql", "Vault", "name:box", "--write", "DELETE FROM t WHERE id > 2"), "1 rows changed\n")
		refused("", "sql", "Vault", "name:box", "--write", "DELETE FROM _cf_KV")

		var o struct{ Namespace, ID string }
		list = Command(t, "objects", "list", "Vault", "--data", data, "--json")
		if err := json.Unmarshal([]byte(list), &o); err != nil || o.Namespace != "vault-Vault" || o.ID != id {
			t.Errorf("the objects are listed as\n%s", list)
		}
	}
	t.Run("Running", look)
	if got := Ask[[]any](v, "box", "sql", "SELECT id FROM t"); len(got) != 2 {
		t.Errorf("the object sees %v, want what the operator has left", got)
	}
	d.Interrupt()
	t.Run("Stopped", look)

	d = StartDormouse(t, Options{Dir: VaultDir(t), Data: data})
	v.URL = d.URL
	if got := Ask[[]any](v, "box", "sql", "SELECT id FROM t"); len(got) != 2 {
		t.Errorf("started again the object sees %v, want what the operator has left", got)
	}
	d.Kill()
	t.Run("Killed", look)
}

func TestManyObjectsAreListed(t *testing.T) {
	t.Parallel()
	d := StartDormouse(t, Options{Dir: VaultDir(t)})
	v := Vault{t, d.URL}
	const n = 30
	for i := range n {
		Ask[any](v, fmt.Sprint("object ", i), "put", map[string]any{"key": "k", "value": i})
	}
	var ids []string
	for after := ""; ; {
		args := []string{"objects", "list", "--to", strings.TrimPrefix(d.Admin, "http://"), "--json", "--limit", "7", "--after", after}
		lines := strings.Split(strings.TrimSpace(Command(t, args...)), "\n")
		if lines[0] == "" {
			break
		}
		for _, line := range lines {
			var o struct {
				Namespace, ID string
				Bytes         int64
			}
			if err := json.Unmarshal([]byte(line), &o); err != nil || o.Bytes == 0 {
				t.Fatalf("%s: %v", line, err)
			}
			ids = append(ids, o.ID)
			after = o.Namespace + "/" + o.ID
		}
	}
	seen := make(map[string]bool)
	for i, id := range ids {
		if seen[id] = true; i > 0 && id <= ids[i-1] {
			t.Errorf("%s comes behind %s", id, ids[i-1])
		}
	}
	if len(seen) != n {
		t.Errorf("%d objects are listed, want %d", len(seen), n)
	}
}
