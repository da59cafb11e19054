package runtimes

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"time"
)

// FindWorkerd returns the binary of the npm package workerd.
func FindWorkerd() (string, error) {
	arch := map[string]string{"amd64": "64", "arm64": "arm64"}[runtime.GOARCH]
	return findBinary("workerd", "WORKERD_BIN", "tools/node_modules/@cloudflare/workerd-"+runtime.GOOS+"-"+arch+"/bin/workerd")
}

// The namespaces' unique keys are what Dormouse derives for the same Worker, so
// that an object's id is the same text in both.
var workerdConfig = template.Must(template.New("workerd.capnp").Funcs(template.FuncMap{"quote": quoteCapnp}).Parse(`using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [{{range $i, $w := .Workers}}
    (name = {{quote $w.Name}}, worker = .w{{$i}}),{{end}}
    (name = "disk", disk = (path = {{quote .Data}}, writable = true)),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = {{quote (index .Workers 0).Name}})],
);
{{range $i, $w := .Workers}}
const w{{$i}} :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker{{$i}}.js")],
  compatibilityDate = {{quote .CompatibilityDate}},
  compatibilityFlags = [{{range .CompatibilityFlags}}{{quote .}}, {{end}}],
  durableObjectStorage = (localDisk = "disk"),
  durableObjectNamespaces = [{{range .DurableObjects.Bindings}}{{if not .ScriptName}}
    (className = {{quote .ClassName}}, uniqueKey = {{printf "%s-%s" $w.Name .ClassName | quote}}, enableSql = true),{{end}}{{end}}
  ],
  bindings = [{{range .DurableObjects.Bindings}}
    (name = {{quote .Name}}, durableObjectNamespace = (className = {{quote .ClassName}}{{if .ScriptName}}, serviceName = {{quote .ScriptName}}{{end}})),{{end}}{{range .Services}}
    (name = {{quote .Binding}}, service = (name = {{quote .Service}}{{if .Entrypoint}}, entrypoint = {{quote .Entrypoint}}{{end}}{{if .Props}}, props = (json = {{printf "%s" .Props | quote}}){{end}})),{{end}}{{range $name, $text := .Texts}}
    (name = {{quote $name}}, text = {{quote $text}}),{{end}}
  ],
);
{{end}}`))

func quoteCapnp(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// StartWorkerd serves w with workerd, with data in a folder of its own that
// goes when the server is stopped.
func StartWorkerd(ctx context.Context, w Worker) (*Server, error) {
	bin, err := FindWorkerd()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "workerd-")
	if err != nil {
		return nil, err
	}
	s, err := startWorkerdIn(ctx, bin, dir, w)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	s.data = dir
	return s, nil
}

// UpdateWorkerd returns a server that goes on with what w is now, and with the
// data of s, which it ends: so does workerd by itself under --watch.
func UpdateWorkerd(ctx context.Context, s *Server, w Worker) (*Server, error) {
	bin, err := FindWorkerd()
	if err != nil {
		return nil, err
	}
	dir := s.data
	s.cleanup = nil // it is the next one's
	s.stop(0)
	next, err := startWorkerdIn(ctx, bin, dir, w)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	next.data = dir
	return next, nil
}

func startWorkerdIn(ctx context.Context, bin, dir string, w Worker) (*Server, error) {
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	all := append([]Worker{w}, w.Others...)
	for i, w := range all {
		code, err := w.Bundle()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("worker%d.js", i)), code, 0o644)
		}
		if err != nil {
			return nil, err
		}
	}
	var config strings.Builder
	if err := workerdConfig.Execute(&config, map[string]any{"Workers": all, "Data": data}); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "workerd.capnp")
	if err := os.WriteFile(file, []byte(config.String()), 0o644); err != nil {
		return nil, err
	}
	// workerd tells through this pipe which port it took.
	told, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer told.Close()
	cmd := exec.Command(bin, "serve", "--experimental", "--control-fd=3", file)
	cmd.ExtraFiles = []*os.File{tell}
	s, err := Start(cmd)
	tell.Close()
	if err != nil {
		return nil, err
	}
	s.cleanup = append(s.cleanup, func() { os.RemoveAll(dir) })
	if s.Addr, err = ListensAt(told); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w; workerd printed:\n%s", err, s.Log())
	}
	if err := s.Ready(ctx, "/ready"); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// ListensAt reads workerd's control messages until the one that names its port,
// and returns its address.
func ListensAt(told *os.File) (string, error) {
	told.SetReadDeadline(time.Now().Add(startLimit))
	lines := bufio.NewScanner(told)
	for lines.Scan() {
		var m struct {
			Event string `json:"event"`
			Port  int    `json:"port"`
		}
		if json.Unmarshal(lines.Bytes(), &m) == nil && m.Event == "listen" {
			return fmt.Sprintf("127.0.0.1:%d", m.Port), nil
		}
	}
	return "", fmt.Errorf("workerd did not say where it listens (%v)", lines.Err())
}
