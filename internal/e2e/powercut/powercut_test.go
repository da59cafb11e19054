package powercut

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/e2e"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

const (
	objects   = 4
	namespace = dormouse.Namespace("ledger-Ledger")
	patience  = 90 * time.Second
)

// TestPowerCutCrash: objects of real guests write numbers and say so, some only
// read and say what they have, and guests are killed in between, so that some die
// between a COMMIT and telling of it. The power is then cut at the moments of the
// record at which something was synced or said, and at others: each database
// opens, and holds a prefix of what was committed, with all that had been said to
// anybody. (With --durability relaxed it fails, as it has to.)
//
// make test looks at some of the moments, make soak at all.
func TestPowerCutCrash(t *testing.T) {
	strace := needStrace(t)
	cuts, writes := 60, 30
	if os.Getenv("DORMOUSE_SOAK") != "" {
		cuts, writes = 1<<30, 150
	}
	record := filepath.Join(t.TempDir(), "record")
	data := filepath.Join(t.TempDir(), "data")
	heard := perform(t, strace, record, data, writes)
	folder := filepath.Join(data, "do")

	finally := make([][]int64, objects)
	for i := range finally {
		all, err := numbers(folder, i)
		if err != nil {
			t.Fatal(err)
		}
		finally[i] = all
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	l := &lookout{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), disk: newDisk(folder), finally: finally,
		promised: make([]map[int64]bool, objects), chance: 1,
	}
	for i := range l.promised {
		l.promised[i] = make(map[int64]bool)
	}
	if n := 2 * (countSyncs(t, record, folder) + objects*writes); cuts < n { // with other moments
		l.chance = float64(cuts) / float64(n)
	}
	replay(t, record, l.see)
	for i, n := range heard {
		if len(l.promised[i]) < n {
			t.Errorf("object %d: the record has %d numbers that were said, and a client has heard %d", i, len(l.promised[i]), n)
		}
	}
	t.Logf("%d syncs, %d cuts; %v numbers heard", l.syncs, l.cuts, heard)
	if l.cuts == 0 {
		t.Error("the power was never cut")
	}
}

// needStrace returns strace, or skips a test where calls cannot be recorded.
func needStrace(t *testing.T) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("NOT TESTED: there is no strace, which records the calls")
	}
	if err := exec.Command(strace, "-f", "true").Run(); err != nil {
		t.Skipf("NOT TESTED: processes may not be traced here: %v", err)
	}
	return strace
}

func replay(t *testing.T, record string, see func(*call) error) {
	t.Helper()
	f, err := os.Open(record)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := read(f, see); err != nil {
		t.Fatal(err)
	}
}

func countSyncs(t *testing.T, record, folder string) (n int) {
	d := newDisk(folder)
	replay(t, record, func(c *call) error {
		synced, err := d.see(c)
		if synced {
			n++
		}
		return err
	})
	return n
}

// perform runs the product under strace, with clients, and returns how many
// numbers were acknowledged by each object.
func perform(t *testing.T, strace, record, data string, writes int) (heard []int) {
	bin := e2e.Binary(t)
	wrapper := filepath.Join(t.TempDir(), "dormouse")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' -D %s -o \"|cat > '%s'; : > '%s'\" '%s' \"$@\"\n", strace, strings.Join(recording, " "), record, whole(record), bin)
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DORMOUSE_BIN", wrapper)
	dir := filepath.Join(filepath.Dir(e2e.VaultDir(t)), "ledger")
	d := e2e.StartDormouse(t, e2e.Options{Dir: dir, Data: data, HibernateAfter: 300 * time.Millisecond})
	var acknowledged atomic.Int64
	heard = make([]int, objects)
	var clients sync.WaitGroup
	for i := range objects {
		clients.Go(func() {
			heard[i] = converse(t, d.URL, i, writes, func() { acknowledged.Add(1) })
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for kills := int64(1); ; kills++ {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := e2e.Until(ctx, "another quarter is written", func() (bool, error) {
			select {
			case <-done:
				return true, nil
			default:
				return acknowledged.Load() >= kills*objects*int64(writes)/5, nil
			}
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			d.Interrupt()
			waitForRecord(t, record)
			return heard
		default:
		}
		for _, pid := range d.GuestPIDs() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// whole is a file that appears when the record is whole: strace ends after all
// others.
func whole(record string) string { return record + ".whole" }

func waitForRecord(t *testing.T, record string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := e2e.Until(ctx, "strace has ended", func() (bool, error) {
		_, err := os.Stat(whole(record))
		return err == nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// converse has an object write numbers that nobody else writes.
func converse(t *testing.T, url string, object, writes int, acknowledged func()) (heard int) {
	var conn net.Conn
	ask := func(question string) (answer string, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if conn == nil {
			if conn, _, _, err = ws.Dial(ctx, "ws"+strings.TrimPrefix(url, "http")+"/"+nameOf(object)); err != nil {
				conn = nil
				return "", err
			}
		}
		deadline, _ := ctx.Deadline()
		conn.SetDeadline(deadline)
		if err = wsutil.WriteClientText(conn, []byte(question)); err == nil {
			var b []byte
			b, err = wsutil.ReadServerText(conn)
			answer = string(b)
		}
		if err != nil {
			conn.Close()
			conn = nil
		}
		return answer, err
	}
	for n := 1; n <= writes; n++ {
		mine := strconv.Itoa(n*objects + object)
		answer, err := ask(mine)
		switch {
		case err != nil:
			t.Logf("object %d, number %s: %v", object, mine, err) // its guest was killed
			continue
		case answer != mine:
			t.Errorf("object %d: heard %q for %s", object, answer, mine)
		}
		heard++
		acknowledged()
		if n%4 == 0 {
			ask("?")
		}
	}
	if conn != nil {
		conn.Close()
	}
	return heard
}

func nameOf(object int) string { return "ledger" + strconv.Itoa(object) }

// lookout looks at what a power cut would leave.
type lookout struct {
	t        *testing.T
	rnd      *rand.Rand
	disk     *disk
	finally  [][]int64
	promised []map[int64]bool // by object: what was said to anybody
	chance   float64
	cuts     int
	syncs    int
}

func (l *lookout) see(c *call) error {
	synced, err := l.disk.see(c)
	if err != nil {
		return err
	}
	said := false
	if c.name == "sendto" && !c.ended {
		if said, err = l.hear(c); err != nil {
			return err
		}
	}
	if synced {
		l.syncs++
	}
	moment := synced || said || strings.HasPrefix(c.file(0), l.disk.root) && l.rnd.IntN(20) == 0
	if moment && l.rnd.Float64() < l.chance {
		l.cuts++
		return l.cut(c)
	}
	return nil
}

// hear takes the messages that are said to clients. What has begun to leave is
// promised.
func (l *lookout) hear(c *call) (said bool, err error) {
	b, err := c.text(1)
	if err != nil {
		return false, err
	}
	for from := bytes.NewReader(b); from.Len() > 0; {
		f, err := ws.ReadFrame(from)
		if err != nil || f.Header.OpCode != ws.OpText {
			return said, nil // no message of ours, or a Close
		}
		for word := range strings.FieldsSeq(string(f.Payload)) {
			n, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				return false, fmt.Errorf("a client was told %q", f.Payload)
			}
			l.promised[n%objects][n] = true
			said = true
		}
	}
	return said, nil
}

func (l *lookout) cut(c *call) error {
	dir, err := os.MkdirTemp(l.t.TempDir(), "cut")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := l.disk.cut(dir, l.rnd); err != nil {
		return err
	}
	when := fmt.Sprintf("cut %d, at %s(%.150s) (ended: %v)", l.cuts, c.name, strings.Join(c.args, ", "), c.ended)
	for i, promised := range l.promised {
		got, err := numbers(dir, i)
		if err != nil {
			l.t.Errorf("%s, object %d: %v", when, i, err)
			continue
		}
		if n := len(got); n > len(l.finally[i]) || !slices.Equal(got, l.finally[i][:n]) {
			l.t.Errorf("%s, object %d: %v is no prefix of %v", when, i, got, l.finally[i])
		}
		for n := range promised {
			if !slices.Contains(got, n) {
				l.t.Errorf("%s, object %d: %d was said to a client, and is not in %v", when, i, n, got)
			}
		}
	}
	if l.t.Failed() {
		return errors.New("given up")
	}
	return nil
}

// numbers recovers a folder of databases, if that was not done yet, and reads
// what an object has.
func numbers(folder string, object int) (all []int64, err error) {
	engine, _, err := journal.Open(folder, journal.Options{SegmentBytes: 512 << 10})
	if err != nil {
		return nil, err
	}
	if err := engine.Close(); err != nil {
		return nil, err
	}
	path := storage.Path(folder, dormouse.Key{Namespace: namespace, ID: namespace.IDFromName(nameOf(object))})
	head, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !bytes.HasPrefix(head, []byte("SQLite format 3\x00")):
		return nil, nil // never committed to: docs/storage.md says that it is made anew
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	query := func(q string, row func(*sqlite.Stmt)) error {
		err := sqlitex.ExecuteTransient(conn, q, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error { row(s); return nil }})
		if err != nil {
			err = fmt.Errorf("%s: %w", q, err)
		}
		return err
	}
	var check string
	tables := 0
	err = errors.Join(
		query("PRAGMA integrity_check", func(s *sqlite.Stmt) { check += s.ColumnText(0) }),
		query("SELECT count(*) FROM sqlite_schema WHERE name IN ('entries', 'copies')", func(s *sqlite.Stmt) { tables = s.ColumnInt(0) }),
	)
	if err != nil || check != "ok" {
		return nil, fmt.Errorf("integrity: %s (%w)", check, err)
	}
	if tables == 0 {
		return nil, nil
	}
	copies := 0
	err = errors.Join(
		query("SELECT n FROM entries ORDER BY n", func(s *sqlite.Stmt) { all = append(all, s.ColumnInt64(0)) }),
		query("SELECT count(*) FROM copies", func(s *sqlite.Stmt) { copies = s.ColumnInt(0) }),
	)
	if err == nil && copies != len(all) {
		err = fmt.Errorf("a commit is there in part: %d entries, %d copies", len(all), copies)
	}
	return all, err
}

// TestReadRecord reads what strace writes.
func TestReadRecord(t *testing.T) {
	got := split(`12</a, b>, "x\"\0\1771\n, \\", 3, [{iov_base="y", iov_len=1}]`)
	if want := []string{"12</a, b>", `"x\"\0\1771\n, \\"`, "3", `[{iov_base="y", iov_len=1}]`}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	c := &call{name: "write", args: got}
	if b, err := c.text(1); err != nil || string(b) != "x\"\x00\x7f1\n, \\" {
		t.Errorf("got %q, %v", b, err)
	}
	if c.file(0) != "/a, b" {
		t.Errorf("got %q", c.file(0))
	}
	var seen []string
	record := `12   openat(AT_FDCWD, "/a", O_RDONLY) = 3</a>
13   fdatasync(3</a> <unfinished ...>
12   +++ exited with 0 +++
13   <... fdatasync resumed>)             = 0
14   <... write resumed>)                 = 1
13   fsync(4</b> <detached ...>
`
	err := read(strings.NewReader(record), func(c *call) error {
		seen = append(seen, fmt.Sprintf("%s %q %v", c.name, c.args, c.ended))
		return nil
	})
	want := []string{
		`openat ["AT_FDCWD" "\"/a\"" "O_RDONLY"] false`, `openat ["AT_FDCWD" "\"/a\"" "O_RDONLY"] true`,
		`fdatasync ["3</a>"] false`, `fdatasync ["3</a>"] true`,
		`fsync ["4</b>"] false`, // its end was never seen
	}
	if err != nil || !slices.Equal(seen, want) {
		t.Errorf("got %q, %v, want %q", seen, err, want)
	}
}
