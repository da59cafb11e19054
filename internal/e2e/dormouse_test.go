package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

func TestChatUnderDormouse(t *testing.T) {
	t.Parallel()
	d := StartDormouse(t, Options{Dir: Example(t, "chat")})
	Chat(t, d.Target)
	t.Run("HibernateNow", func(t *testing.T) {
		t.Parallel()
		ada := Visit(t, d.Target, roomOf(t), "Ada")
		ada.Say("Good night.")
		ada.HearSaid("Good night.")
		before := ada.Last.AwakeSince
		d.Hibernate(roomOf(t))
		if is, err := d.Asleep(t.Context(), roomOf(t)); err != nil || !is {
			t.Errorf("told to hibernate, the room sleeps: %v (%v), want that it does", is, err)
		}
		ada.Say("Good morning.")
		ada.HearSaid("Good morning.")
		if ada.Last.AwakeSince == before {
			t.Errorf("the room answered as the instance of %d, which was told to hibernate", before)
		}
	})
}

func TestBrowserUnderDormouse(t *testing.T) {
	t.Parallel()
	// The page learns how soon a room falls asleep; told beforehand it is right at once.
	vars := filepath.Join(t.TempDir(), "vars")
	if err := os.WriteFile(vars, []byte("SLEEPS_AFTER_SECONDS=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := StartDormouse(t, Options{Dir: Example(t, "chat"), More: []string{"--secret-file", vars}})
	Browser(t, d.Target)
}

func TestGuestKilled(t *testing.T) {
	t.Parallel()
	GuestKilled(t, StartDormouse(t, Options{Dir: Example(t, "chat")}))
}

func TestServerKilled(t *testing.T) {
	t.Parallel()
	ServerEnded(t, Options{Dir: Example(t, "chat")}, (*Dormouse).Kill)
}

func TestServerInterrupted(t *testing.T) {
	t.Parallel()
	ServerEnded(t, Options{Dir: Example(t, "chat")}, (*Dormouse).Interrupt)
}
