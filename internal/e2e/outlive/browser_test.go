package outlive

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/e2e"
)

// TestBrowserSeesNothing: a page in a real browser, chatting in a loop, has one
// socket from its first to its last message, over new code, a killed guest and
// upgrades.
func TestBrowserSeesNothing(t *testing.T) {
	s := serve(t, Config{})
	profile := t.TempDir()
	cmd := exec.Command(e2e.Chromium(t), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--user-data-dir="+profile, "--remote-debugging-port=0", s.url()+"/page/html")
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		os.RemoveAll(filepath.Join(profile, "Default"))
	})
	heard := 0
	// chats waits until the page has said more than before.
	chats := func(when string) {
		t.Helper()
		more := heard + 20
		err := s.until(t.Context(), "the page chats "+when, func() error {
			v, err := s.look("page")
			if err != nil {
				return err
			}
			for _, c := range v.Sockets {
				heard = max(heard, c.Attachment.Got)
				if c.Attachment.Name != "page" {
					t.Fatalf("%s the page has seen: %s", when, strings.Join(c.Tags, " "))
				}
			}
			if len(v.Sockets) != 1 || heard < more {
				return fmt.Errorf("it has %d sockets and said %d", len(v.Sockets), heard)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	chats("at first")
	rnd := rand.New(rand.NewPCG(1, 1))
	for i, event := range []Kind{Upgrade, Deploy, Kill, Upgrade} {
		var err error
		switch event {
		case Deploy:
			err = s.deploy(t.Context(), i)
		case Kill:
			err = s.kill(t.Context(), rnd)
		case Upgrade:
			_, err = s.upgrade(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		chats("after " + string(event))
	}
}
