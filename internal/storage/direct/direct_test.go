package direct

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/dormouse-dev/dormouse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func folder(t *testing.T) func(dormouse.Key) string {
	dir := t.TempDir()
	return func(k dormouse.Key) string {
		id := k.ID.String()
		return filepath.Join(dir, string(k.Namespace), id[:2], id+".sqlite")
	}
}

// write makes the files that a guest would have made.
func write(t *testing.T, path, log string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{path: "database", path + "-wal": log} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnswersComeInOrderForOneObject(t *testing.T) {
	path := folder(t)
	e := New(path)
	const objects, commits = 8, 50
	var mu sync.Mutex
	got := make(map[dormouse.Key][]int)
	var all sync.WaitGroup
	for i := range objects {
		k := dormouse.Key{Namespace: "test-Room", ID: dormouse.Namespace("test-Room").IDFromName(string(rune('a' + i)))}
		write(t, path(k), "log")
		all.Add(commits + 1)
		answer := func(n int) func(error) {
			return func(err error) {
				if err != nil {
					t.Errorf("question %d: %v", n, err)
				}
				mu.Lock()
				got[k] = append(got[k], n)
				mu.Unlock()
				all.Done()
			}
		}
		e.Opened(k, answer(0))
		for n := range commits {
			e.Commit(k, answer(n+1))
		}
		e.Closed(k)
	}
	all.Wait()
	e.Close()
	for k, list := range got {
		for i, n := range list {
			if i != n {
				t.Fatalf("object %s: answers came as %v", k, list)
			}
		}
	}
	if len(e.objects) != 0 {
		t.Errorf("%d objects are remembered after all have closed", len(e.objects))
	}
}

func TestNothingWrittenIsDurable(t *testing.T) {
	e := New(folder(t))
	defer e.Close()
	answer := make(chan error, 1)
	e.Opened(dormouse.Key{Namespace: "test-Room"}, func(err error) { answer <- err })
	if err := <-answer; err != nil {
		t.Errorf("an object without a database: %v", err)
	}
}

func TestFailureIsToldAndForgotten(t *testing.T) {
	path := folder(t)
	e := New(path)
	defer e.Close()
	k := dormouse.Key{Namespace: "test-Room"}
	if err := os.MkdirAll(path(k)+"-wal", 0o700); err != nil { // a log without a database
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	e.Opened(k, func(err error) { answer <- err })
	if err := <-answer; err == nil {
		t.Fatal("no database, but the commit is durable")
	}
	if err := os.Remove(path(k) + "-wal"); err != nil {
		t.Fatal(err)
	}
	write(t, path(k), "log")
	e.Commit(k, func(err error) { answer <- err })
	if err := <-answer; err != nil {
		t.Errorf("after the cause was mended: %v", err)
	}
	e.Closed(k)
}
