package outlive

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse/internal/e2e"
	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// serve starts a server for a test.
func serve(t *testing.T, c Config) *process {
	t.Helper()
	c.Binary, c.Node = e2e.Binary(t), e2e.Node(t)
	if c.Folder == "" {
		c.Folder = t.TempDir()
	}
	s, err := start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server printed:\n%s", s.tail())
		}
	})
	return s
}

func (c *client) must(t *testing.T, s *process) *client {
	t.Helper()
	if err := c.dial(s.address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	c.conn.SetDeadline(time.Now().Add(waitLimit))
	return c
}

func (c *client) say(t *testing.T, text string) {
	t.Helper()
	if err := ws.WriteFrame(c.conn, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(text)))); err != nil {
		t.Fatal(err)
	}
}

func (c *client) hear(t *testing.T, want string) {
	t.Helper()
	f, err := wsread.Frame(c.r)
	if err != nil || string(f.Payload) != want {
		t.Fatalf("socket %s heard %q, %v, want %q", c.name, f.Payload, err, want)
	}
}

// closes waits for a Close and returns its code.
func (c *client) closes(t *testing.T) ws.StatusCode {
	t.Helper()
	f, err := wsread.Frame(c.r)
	if err != nil || f.Header.OpCode != ws.OpClose {
		t.Fatalf("socket %s heard %+v %q, %v, want a Close", c.name, f.Header, f.Payload, err)
	}
	code, _ := ws.ParseCloseFrameData(f.Payload)
	return code
}

// TestWhatEndsWithAnUpgrade: standard sockets are told 1012, outbound ones close,
// an answer that streams ends whole; a hibernatable one beside them stays.
func TestWhatEndsWithAnUpgrade(t *testing.T) {
	s := serve(t, Config{})
	stays := (&client{name: "stays", object: "mixed"}).must(t, s)
	standard := (&client{name: "standard", object: "mixed/standard"}).must(t, s)
	standard.say(t, "hello")
	standard.hear(t, "hello")
	accepted := make(chan net.Conn, 1)
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
			accepted <- conn
		}
	}))
	defer far.Close()
	if _, err := s.get(s.url() + "/mixed/outbound?to=" + far.URL); err != nil {
		t.Fatal(err)
	}
	outbound := <-accepted
	defer outbound.Close()
	res, err := fresh.Get(s.url() + "/mixed/stream?lines=15")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Scan() // it has begun

	if _, err := s.upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 1
	for lines.Scan() {
		n++
	}
	if err := lines.Err(); err != nil || n != 15 {
		t.Errorf("%d lines of the streaming answer came, %v, want 15", n, err)
	}
	if s.last.Cut {
		t.Error("something was cut")
	}
	if code := standard.closes(t); code != 1012 {
		t.Errorf("the standard socket was told %d, want 1012", code)
	}
	outbound.SetReadDeadline(time.Now().Add(waitLimit))
	if f, err := wsread.Frame(outbound); os.IsTimeout(err) || err == nil && f.Header.OpCode != ws.OpClose {
		t.Errorf("the outbound socket: %+v, %v, want its end", f.Header, err)
	}
	stays.say(t, "1")
	stays.hear(t, "1 1 0")
}

// TestTLSIsToldToComeAgain: a connection whose keys are in the process ends with
// 1012, is counted, and its object hears of it.
func TestTLSIsToldToComeAgain(t *testing.T) {
	folder := t.TempDir()
	cert, key := selfSigned(t, folder)
	s := serve(t, Config{Folder: filepath.Join(folder, "server"), scheme: "https", args: []string{"--tls-cert", cert, "--tls-key", key}})
	conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{name: "secret", object: "o", conn: conn}
	if err := c.shake(s.address); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c.conn.SetDeadline(time.Now().Add(waitLimit))
	c.say(t, "1")
	c.hear(t, "1 1 0")
	if _, err := s.upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.last.Told != 1 {
		t.Errorf("%d sockets were told, want 1", s.last.Told)
	}
	if code := c.closes(t); code != 1012 {
		t.Errorf("the socket was told %d, want 1012", code)
	}
	err = s.until(t.Context(), "its object has heard", func() error {
		v, err := s.look("o")
		if err == nil && (v.Closed != 1006 || len(v.Sockets) != 0) {
			err = fmt.Errorf("it has %d sockets and heard %d", len(v.Sockets), v.Closed)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestUpgradeCutsWhatDoesNotEnd: a handler that outlasts the deadlines is cut and
// reported; what its socket said behind it is not lost.
func TestUpgradeCutsWhatDoesNotEnd(t *testing.T) {
	s := serve(t, Config{args: []string{"--upgrade-deadline", "50ms"}})
	c := (&client{name: "slow", object: "o"}).must(t, s)
	c.say(t, "1")
	c.hear(t, "1 1 0")
	c.say(t, "sleep 600000")
	if _, err := s.upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.last.Cut {
		t.Error("nothing is said to have been cut")
	}
	c.say(t, "2")
	c.hear(t, "2 2 0")
	if n := s.reported(); n > 1 {
		t.Errorf("%d events reported, want at most the one that slept", n)
	}
}

// TestPredecessorEndsWell waits for the process that gave everything away: it
// reports success, for whoever watches it.
func TestPredecessorEndsWell(t *testing.T) {
	s := serve(t, Config{})
	if _, err := s.upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(waitLimit):
		t.Fatal("it does not end")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ends with %d", code)
	}
}

// TestStop: handlers finish, clients are told 1001, and the exit code is 0.
func TestStop(t *testing.T) {
	s := serve(t, Config{})
	c := (&client{name: "stops", object: "o"}).must(t, s)
	idle := (&client{name: "idle", object: "other"}).must(t, s)
	c.say(t, "1")
	c.hear(t, "1 1 0")
	c.say(t, "sleep 700")
	c.say(t, "2") // behind it, so that we know that the handler has begun
	c.hear(t, "2 2 0")
	syscall.Kill(s.pid, syscall.SIGTERM)
	c.hear(t, "slept 700")
	for _, c := range []*client{c, idle} {
		if code := c.closes(t); code != 1001 {
			t.Errorf("socket %s was told %d, want 1001", c.name, code)
		}
		c.conn.Close()
	}
	select {
	case <-s.exited:
	case <-time.After(waitLimit):
		t.Fatal("the server does not end")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestSecondSignalEndsAtOnce: and what has been answered is there afterwards.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	folder := t.TempDir()
	s := serve(t, Config{Folder: folder, args: []string{"--stop-deadline", "10m"}})
	c := (&client{name: "c", object: "o"}).must(t, s)
	for i := range 50 {
		c.say(t, fmt.Sprint(i+1))
		c.hear(t, fmt.Sprintf("%d %d 0", i+1, i+1))
	}
	c.say(t, "sleep 600000")
	c.say(t, "51")
	c.hear(t, "51 51 0")
	syscall.Kill(s.pid, syscall.SIGTERM)
	if err := s.until(t.Context(), "it stops", func() error {
		if s.lines("stopping") == 0 {
			return fmt.Errorf("it has not said so")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(s.pid, syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(waitLimit):
		t.Fatal("the second signal does not end it")
	}
	s.stop()
	if err := os.RemoveAll(filepath.Join(folder, "project")); err != nil {
		t.Fatal(err)
	}
	again := serve(t, Config{Folder: folder})
	if v, err := again.look("o"); err != nil || v.Total != 51 {
		t.Errorf("after it %d messages are in the database, %v, want 51", v.Total, err)
	}
}

// selfSigned writes a certificate and its key.
func selfSigned(t *testing.T, folder string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
