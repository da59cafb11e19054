package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
)

// workerdHibernates is how long workerd leaves an object in memory after its
// last event. It cannot be told otherwise.
const workerdHibernates = 10 * time.Second

// StartWorkerd serves the Worker in dir with workerd. It ends with the test.
func StartWorkerd(t testing.TB, dir string) Target {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	target, _ := StartWorkerdIn(t, dir, data)
	return target
}

// StartWorkerdIn keeps the objects in a folder that exists. stop ends it before
// the test does.
func StartWorkerdIn(t testing.TB, dir, data string) (_ Target, stop func()) {
	t.Helper()
	bin := need[string](t)(runtimes.FindWorkerd())
	config, err := project.Load(project.Options{Dir: dir, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	worker, err := bundle.Build(config, bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "worker.js"), worker.Files[bundle.Entry], 0o644); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := workerdConfig.Execute(&text, map[string]any{"Worker": config, "Data": data}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(work, "workerd.capnp")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}

	// workerd tells through this pipe which port it took.
	told, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	cmd := exec.Command(bin, "serve", "--control-fd=3", file)
	cmd.ExtraFiles = []*os.File{tell}
	server, err := runtimes.Start(cmd)
	tell.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	if server.Addr, err = runtimes.ListensAt(told); err != nil {
		t.Fatalf("%v; workerd printed:\n%s", err, server.Log())
	}
	if err := server.Ready(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	return Target{URL: "http://" + server.Addr, HibernateAfter: workerdHibernates, LosesPongs: true}, server.Stop
}

var workerdConfig = template.Must(template.New("workerd.capnp").Funcs(template.FuncMap{
	"quote": func(s any) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(fmt.Sprintf("%s", s)) + `"`
	},
}).Parse(`using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "disk", disk = (path = {{quote .Data}}, writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);

const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = {{quote .Worker.Compat.Date}},
  durableObjectStorage = (localDisk = "disk"),
  durableObjectNamespaces = [{{range .Worker.Classes}}
    (className = {{quote .Name}}, uniqueKey = {{$.Worker.Namespace .Name | quote}}, enableSql = {{.SQLite}}),{{end}}
  ],
  bindings = [{{range .Worker.Objects}}
    (name = {{quote .Name}}, durableObjectNamespace = {{quote .Class}}),{{end}}{{range .Worker.Vars}}
    (name = {{quote .Name}}, json = {{quote .Value}}),{{end}}
  ],
);
`))
