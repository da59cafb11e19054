package dormousetest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/dormousetest"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/server"
)

// diary counts what was written to it, and goes back in time.
type diary struct{ state *dormouse.State }

func newDiary(s *dormouse.State, _ struct{}) (*diary, error) { return &diary{state: s}, nil }

func (d *diary) Alarm(context.Context, dormouse.AlarmInfo) error { return nil }

func (d *diary) write(ctx context.Context) (string, error) {
	n, _, err := dormouse.Get[int](d.state.Storage(), "n")
	if err == nil {
		err = dormouse.Put(d.state.Storage(), "n", n+1)
	}
	if err == nil && n+1 == 3 {
		err = d.state.Storage().SetAlarm(time.Now().Add(time.Hour))
	}
	if err == nil && n+1 == 4 {
		err = d.state.Storage().DeleteAlarm()
	}
	if err != nil {
		return "", err
	}
	return d.state.Storage().CurrentBookmark(ctx)
}

func (d *diary) read(context.Context) (string, error) {
	n, _, err := dormouse.Get[int](d.state.Storage(), "n")
	if err != nil {
		return "", err
	}
	at, err := d.state.Storage().Alarm()
	return fmt.Sprint(n, " ", !at.IsZero()), err
}

// book is a diary as its tests use it.
type book struct {
	t   *testing.T
	all *server.Namespace
	o   *server.Stub
}

func openBook(t *testing.T, data string) (*dormousetest.Server, book) {
	s := dormousetest.New(t)
	s.Data = data
	diaries := s.Define(dormouse.NewClass("Diary", newDiary, struct{}{}))
	return s, book{t, diaries, diaries.ByName("d")}
}

func (b book) write() string {
	b.t.Helper()
	mark, err := server.Call(b.t.Context(), b.o, (*diary).write)
	if err != nil {
		b.t.Fatal(err)
	}
	return mark
}

func (b book) holds(want string) {
	b.t.Helper()
	got, err := server.Call(b.t.Context(), b.o, (*diary).read)
	if err != nil || got != want {
		b.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// order has the diary go back when it next begins.
func (b book) order(bookmark string) (undo string, err error) {
	b.t.Helper()
	return server.Call(b.t.Context(), b.o, func(d *diary, ctx context.Context) (string, error) {
		return d.state.Storage().RestoreBookmark(ctx, bookmark)
	})
}

// back has it go back at once.
func (b book) back(bookmark string) (undo string) {
	b.t.Helper()
	undo, err := b.order(bookmark)
	if err != nil {
		b.t.Fatal(err)
	}
	_, err = server.Call(b.t.Context(), b.o, func(d *diary, _ context.Context) (string, error) {
		d.state.Abort("back to the past")
		return "", nil
	})
	if err == nil || !strings.Contains(err.Error(), "back to the past") {
		b.t.Fatalf("abort: %v", err)
	}
	return undo
}

// TestObjectsInGoGoBack to bookmarks of theirs and forward again, with their
// alarms, over hibernation and over the end of the process.
func TestObjectsInGoGoBack(t *testing.T) {
	data := t.TempDir()
	s, b := openBook(t, data)
	marks := []string{""}
	for n := 1; n <= 6; n++ {
		marks = append(marks, b.write())
		if n > 1 && marks[n-1] >= marks[n] {
			t.Fatalf("bookmarks do not grow: %s, %s", marks[n-1], marks[n])
		}
	}
	b.holds("6 false")
	undo := b.back(marks[3])
	b.holds("3 true") // and its alarm
	again := b.back(undo)
	b.holds("6 false")
	b.back(again)
	b.holds("3 true")
	b.back(undo)
	b.holds("6 false")

	// Until the object next begins, it goes on.
	if _, err := b.order(marks[5]); err != nil {
		t.Fatal(err)
	}
	b.holds("6 false")
	s.Hibernate(b.o)
	b.holds("5 false")

	// An order outlives the process, and so do bookmarks.
	if _, err := b.order(marks[2]); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s, b = openBook(t, data)
	b.holds("2 false")
	b.back(marks[6])
	b.holds("6 false")

	// An operator does the same while the server runs.
	h := httptest.NewServer(s.AdminHandler(admin.Options{}))
	defer h.Close()
	url := fmt.Sprintf("%s/api/objects/Diary/%s/restore", h.URL, b.o.ID())
	res, err := http.Post(url, "application/json", strings.NewReader(fmt.Sprintf(`{"bookmark":%q}`, marks[4])))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("restore: %d %s", res.StatusCode, text)
	}
	b.holds("4 false")
}

// TestWaysBackInGoThatThereAreNot.
func TestWaysBackInGoThatThereAreNot(t *testing.T) {
	_, b := openBook(t, t.TempDir())
	mark := b.write()
	foreign := book{t, b.all, b.all.ByName("another")}.write()
	for bookmark, want := range map[string]string{
		"nonsense": "not valid", foreign: "another object", strings.Replace(mark, "00000000-", "000000ff-", 1): "has not come yet",
	} {
		if _, err := b.order(bookmark); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("restore %s: got %v, want %q", bookmark, err, want)
		}
	}
	at := func(when time.Time) (string, error) {
		return server.Call(t.Context(), b.o, func(d *diary, ctx context.Context) (string, error) {
			return d.state.Storage().BookmarkForTime(ctx, when)
		})
	}
	if _, err := at(time.Now().Add(-time.Hour)); err == nil {
		t.Error("there is a bookmark of a time before the history")
	}
	if now, err := at(time.Now()); err != nil || now < mark {
		t.Errorf("the bookmark of now is %s (%v), and one before is %s", now, err, mark)
	}
	ended, end := context.WithCancelCause(t.Context())
	gone := errors.New("nobody waits any more")
	end(gone)
	_, err := server.Call(t.Context(), b.o, func(d *diary, _ context.Context) (string, error) {
		return d.state.Storage().CurrentBookmark(ended)
	})
	if err != nil && !errors.Is(err, gone) {
		t.Errorf("got %v, want why the context has ended", err)
	}
	b.holds("1 false")
}
