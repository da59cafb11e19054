package crashtest

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// TestDamageInThePast damages history in every way that a disk may: what was
// before cannot be reached and says so, what was after can, and what is live
// runs on.
func TestDamageInThePast(t *testing.T) {
	template := template(t, 4096)
	damages := map[string]func(t *testing.T, path string){
		"a byte": func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"torn": func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:len(b)/2+100] })
		},
		"header": func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { clear(b[:64]); return b })
		},
		"removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			v := &voyage{t: t, rnd: rand.New(rand.NewPCG(5, 5)), data: filepath.Join(t.TempDir(), "data")}
			v.options = journal.Options{SegmentBytes: 512 << 10, Budget: 2 << 20, RestDelay: time.Millisecond, KeepBytes: journal.KeepAll}
			if err := os.MkdirAll(v.data, 0o700); err != nil {
				t.Fatal(err)
			}
			v.open()
			n := dormouse.Namespace("test-Traveller")
			key := dormouse.Key{Namespace: n, ID: n.IDFromName("one")}
			o := &traveller{t: t, key: key, path: storage.Path(v.data, key)}
			o.open(v.e, template)
			var files []string
			for len(files) < 5 {
				for range 10 {
					o.commit(v)
				}
				o.checkpoint(v, true)
				files, _ = filepath.Glob(filepath.Join(v.data, "journal", "history", "*.log"))
			}
			o.close(v)
			if err := v.e.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, files[2])

			v.open()
			o.open(v.e, template) // compares what is live
			reached := 0
			for i, s := range o.states {
				path := filepath.Join(t.TempDir(), "then.sqlite")
				err := v.e.CopyAt(o.key, s.at, path)
				switch {
				case errors.Is(err, storage.ErrTooOld):
					if reached > 0 {
						t.Fatalf("state %d cannot be reached, and one before it can", i)
					}
					if !strings.Contains(err.Error(), "can be reached") && !strings.Contains(err.Error(), "it begins") {
						t.Errorf("the error does not say what can be reached: %v", err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					reached++
					o.look(v, s)
				}
			}
			if reached == 0 || reached == len(o.states) {
				t.Errorf("%d of %d states can be reached", reached, len(o.states))
			}
			_, span, err := v.e.Points(o.key, 10)
			if err != nil || span.Damage == nil {
				t.Errorf("history tells of damage %v, %v", span.Damage, err)
			}
			o.commit(v)
			o.look(v, o.states[len(o.states)-1])
			o.close(v)
			if err := v.e.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func edit(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, f(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
