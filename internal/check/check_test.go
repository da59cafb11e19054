package check

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func want(t *testing.T, f Finding, v Verdict, text string) {
	t.Helper()
	if f.Verdict != v || !strings.Contains(f.Text, text) {
		t.Errorf("got %+v, want %s with %q", f, v, text)
	}
}

func TestPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	want(t, Port("listen", address, "listen"), Fail, "in use")
	l.Close()
	want(t, Port("listen", address, "listen"), Fine, "is free")
	want(t, Port("listen", "nonsense", "listen"), Fail, "set listen")
}

func TestDiskLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	list := Disk(filepath.Join(dir, "not", "there", "yet"))
	if len(list) != 2 || list[0].Verdict == Fail || !strings.Contains(list[0].Text, "a sync in "+dir) {
		t.Errorf("got %+v", list)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

func TestSyncs(t *testing.T) {
	want(t, judgeSync("d", time.Microsecond), Warn, "no disk does")
	want(t, judgeSync("d", time.Millisecond), Fine, "1ms")
	want(t, judgeSync("d", time.Second), Warn, "takes 1s")
}

func TestFormat(t *testing.T) {
	dir := t.TempDir()
	want(t, Format(dir, "1"), Fine, "is new")
	os.WriteFile(filepath.Join(dir, "format"), []byte("1\n"), 0o600)
	want(t, Format(dir, "1"), Fine, "has format 1")
	want(t, Format(dir, "0"), Fail, "a newer one")
}

func TestDescriptors(t *testing.T) {
	if f := Descriptors(); f.Verdict == Fail || f.Text == "" {
		t.Errorf("got %+v", f)
	}
}
