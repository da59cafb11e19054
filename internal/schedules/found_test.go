package schedules

import (
	"strconv"
	"strings"
	"testing"
)

// found are the shortest schedules that once failed, with what was wrong.
var found = []struct {
	name  string
	shape shape
	steps string
}{
	{"an object stayed for as long as one with tasks, after they had ended",
		shape{keep: true, autoReply: true}, "fetch 3539344"},
	{"an instance that woke while a Close waited for the disk did not know of it",
		shape{keep: true}, "connect 5962616, sync 10468821, deploy 5472539, work 3468986, message 15785878, work 14886298, message 9324366, die 7288474, message 13890867"},
	{"a socket that an instance accepted after its reset was the next one's",
		shape{tight: true}, "connect 182870, disk fails 11439227"},
	{"what waited behind a critical section was gone with its guest, and not reported",
		shape{autoReply: true, eager: true}, "connect 6960612, sync 16756109, message 14214335, match 12278769, die 2283869"},
	{"a socket whose far end died with its guest was listed for ever",
		shape{autoReply: true, tight: true}, "connect 3137059, die 11616266"},
	{"a half open socket whose Close was lost in a reset was never dropped",
		shape{keep: true, eager: true}, "connect 8063898, sync 4034496, burst 1010579, close 10934023, disk fails 9117006"},
	{"what a socket said behind a match that waited came before what its guest had not begun",
		shape{autoReply: true}, "connect 6612450, connect 13698197, work 2007007, sync 9289845, leave 16593917, message 5970530, message 2989345, fetch 8374974, " +
			"work 14497575, time 6486267, sync 15774932, message 10738387, match 11776886, message 10948409, die 2809833"},
	{"the end of a socket was lost with an instance that was reset right before its guest died",
		shape{keep: true}, "connect 12987109, sync 4772937, work 2590060, message 5390044, connect 5232027, message 14261398, message 5715534, close 6539630, " +
			"work 4493330, die 13178342"},
	{"and with one whose constructor failed",
		shape{keep: true}, "connect 1719737, work 2553396, deploy 6525512, alarm 4652528, die 10438428, constructor 8546843, die 4904037, fetch 11200712"},
	{"and among bursts",
		shape{keep: true, autoReply: true}, "connect 3332290, work 12957058, sync 8282876, message 14476958, burst 3557077, message 10877285, match 5525494, burst 2973697, " +
			"message 108158, message 10419403, work 3517728, work 3753965, die 13385183"},
}

func TestFound(t *testing.T) {
	for _, f := range found {
		var steps []step
		for text := range strings.SplitSeq(f.steps, ", ") {
			at := strings.LastIndex(text, " ")
			n, err := strconv.Atoi(text[at+1:])
			if err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step{text[:at], uint32(n)})
		}
		for _, failure := range run(t, f.shape, steps, false) {
			t.Errorf("%s: %s", f.name, failure)
		}
	}
}
