package dormousetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/dormousetest"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/server"
)

// vault is an object that an operator may look into.
type vault struct{ state *dormouse.State }

func newVault(s *dormouse.State, _ struct{}) (*vault, error) { return &vault{s}, nil }

func (o *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := o.state.AcceptWebSocket(w, r, "member", "admin")
	if err != nil {
		return
	}
	ws.SetAttachment(map[string]any{"name": "Ada"})
	dormouse.Put(o.state.Storage(), "greeting", map[string]any{"text": "hello", "n": 42})
	if _, err := o.state.Storage().SQL().Exec("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'one'), (2, 'two')"); err != nil {
		panic(err)
	}
}

func (o *vault) Keep(context.Context) (int, error) {
	o.state.WaitUntil(func(ctx context.Context) error { <-ctx.Done(); return nil })
	return 0, nil
}

// What an operator sees of objects written in Go: state, sockets, why they are in
// memory, what they have stored, as of those in JavaScript.
func TestOperatorsLookIntoObjects(t *testing.T) {
	s := dormousetest.New(t)
	o := s.Define(dormouse.NewClass("Vault", newVault, struct{}{})).ByName("lobby")
	s.Dial(o, "/")
	h := httptest.NewServer(s.AdminHandler(admin.Options{}))
	defer h.Close()
	at := fmt.Sprintf("%s/api/objects/Vault/%s", h.URL, o.ID())

	var d admin.Detail
	read(t, "GET", at, "", &d)
	if d.Class != "Vault" || d.Name == nil || *d.Name != "lobby" || d.Sockets != 1 || d.State != "idle" && d.State != "active" {
		t.Errorf("the object: %+v", d.Object)
	}
	if len(d.SocketList) != 1 || fmt.Sprint(d.SocketList[0].Tags) != "[member admin]" || d.SocketList[0].Attachment != `{ name: 'Ada' }` {
		t.Errorf("its sockets: %+v", d.SocketList)
	}

	s.Hibernate(o)
	d = admin.Detail{}
	read(t, "GET", at, "", &d)
	if d.State != "hibernated" || d.Sockets != 1 {
		t.Errorf("asleep: %+v", d.Object)
	}
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/kv", "", `"json":`},
		{"GET", "/kv", "", "hello"},
		{"GET", "/tables", "", `"name":"t"`},
		{"POST", "/sql", `{"sql": "SELECT b FROM t ORDER BY a DESC"}`, `[["two"],["one"]]`},
		{"GET", "/timeline", "", `"what":"sleep"`},
	} {
		if got := strings.Join(strings.Fields(read(t, c.method, at+c.path, c.body, nil)), ""); !strings.Contains(got, strings.ReplaceAll(c.want, " ", "")) {
			t.Errorf("%s %s: got %s, want %s in it", c.method, c.path, got, c.want)
		}
	}

	if _, err := server.Call(t.Context(), o, (*vault).Keep); err != nil {
		t.Fatal(err)
	}
	d = admin.Detail{}
	read(t, "GET", at, "", &d)
	if !strings.Contains(string(d.WhyAwake), `"waitUntil"`) {
		t.Errorf("why it is awake: %s", d.WhyAwake)
	}
	s.Evict(o)
}

func read(t *testing.T, method, url, body string, into any) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s: %s, %v", method, url, res.Status, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return string(text)
}
