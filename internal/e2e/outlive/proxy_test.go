package outlive

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/e2e"
)

// TestSocketsOutliveBehindATLSProxy: what clients see of the same events through
// nginx, which is how TLS and upgrades go together.
func TestSocketsOutliveBehindATLSProxy(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("NOT TESTED: nginx is not on the path; install it (on Debian: nginx-light)")
	}
	folder := t.TempDir()
	c := Config{
		Binary: e2e.Binary(t), Node: e2e.Node(t), Folder: filepath.Join(folder, "server"),
		Idle: 100, Busy: 20, Pause: 300 * time.Millisecond, Seed: uint64(time.Now().UnixNano()),
		Events: map[Kind]int{Deploy: 1, Kill: 1, Upgrade: 2},
		Front:  func(server string) (string, func(), error) { return startNginx(t, nginx, folder, server) },
	}
	if os.Getenv("DORMOUSE_SOAK") != "" {
		c.Idle, c.Busy, c.Events = 4000, 100, map[Kind]int{Deploy: 20, Kill: 20, Upgrade: 20}
	}
	t.Logf("seed %d", c.Seed)
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	k := r.Counts
	t.Logf("%d sockets, %d messages; closed %d, lost %d (of %d reported), doubled %d", k.Sockets.Load(), k.Messages.Load(), k.Closed.Load(), k.Lost.Load(), r.Reported, k.Doubled.Load())
	for _, f := range r.Failures {
		t.Error(f)
	}
	if k.Closed.Load()+k.Doubled.Load()+k.Disordered.Load() > 0 || int(k.Lost.Load()) > r.Reported {
		t.Errorf("closed %d, doubled %d, out of order %d, lost %d of %d reported", k.Closed.Load(), k.Doubled.Load(), k.Disordered.Load(), k.Lost.Load(), r.Reported)
	}
}

// startNginx serves TLS in front of a server.
func startNginx(t *testing.T, nginx, folder, server string) (address string, stop func(), err error) {
	cert, key := selfSigned(t, folder)
	if address, err = runtimes.FreeAddr(); err != nil {
		return "", nil, err
	}
	config := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(`
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr warn;
pid %[1]s/nginx.pid;
events { worker_connections 16384; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s ssl backlog=4096;
		ssl_certificate %[3]s;
		ssl_certificate_key %[4]s;
		location / {
			proxy_pass http://%[5]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection "upgrade";
			proxy_read_timeout 1h;
			proxy_send_timeout 1h;
		}
	}
}
`, folder, address, cert, key, server)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", nil, err
	}
	cmd := exec.Command(nginx, "-p", folder, "-c", config)
	out, err := os.Create(filepath.Join(folder, "nginx.log"))
	if err != nil {
		return "", nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if b, _ := os.ReadFile(out.Name()); t.Failed() && len(b) > 0 {
			t.Logf("nginx printed:\n%s", b)
		}
	}
	for end := time.Now().Add(waitLimit); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return address, stop, nil
		}
		if time.Now().After(end) {
			stop()
			return "", nil, fmt.Errorf("nginx does not answer: %w", err)
		}
	}
}
