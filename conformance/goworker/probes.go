package goworker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// asked is a probe that a script runs in an object.
type asked struct {
	*room
	ctx  context.Context
	args []string
	say  func(string)
	ws   *dormouse.WebSocket // whose message it is; nil: it is a request
}

func (t *asked) arg(i int) string {
	if i < len(t.args) {
		return t.args[i]
	}
	return ""
}

func (t *asked) duration() time.Duration {
	ms, _ := strconv.ParseFloat(t.arg(0), 64)
	return time.Duration(ms * float64(time.Millisecond))
}

// socket is that of the message, or the only one with the tag that is asked for.
func (t *asked) socket() (*dormouse.WebSocket, error) {
	if t.ws != nil {
		return t.ws, nil
	}
	var found []*dormouse.WebSocket
	for ws := range t.state.WebSockets(t.args[:min(1, len(t.args))]...) {
		found = append(found, ws)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("the script means one socket, there are %d", len(found))
	}
	return found[0], nil
}

func (t *asked) listed(ws *dormouse.WebSocket) bool {
	for other := range t.state.WebSockets() {
		if other == ws {
			return true
		}
	}
	return false
}

func (t *asked) firstTags(tags ...string) string {
	list := []string{}
	for ws := range t.state.WebSockets(tags...) {
		list = append(list, t.tag(ws))
	}
	return show(list)
}

func (t *asked) sockets() (n int) {
	for range t.state.WebSockets() {
		n++
	}
	return n
}

var probes map[string]func(*asked) error

func init() {
	probes = map[string]func(*asked) error{
		"nothing": func(*asked) error { return nil },
		"list":    list,
		"count":   func(t *asked) error { t.say(fmt.Sprintf("%d sockets", t.sockets())); return nil },
		"mark": func(t *asked) error {
			return withSocket(t, func(ws *dormouse.WebSocket) { t.memory["marked"] = ws; t.say("marked") })
		},
		"marked":   func(t *asked) error { return withSocket(t, func(ws *dormouse.WebSocket) { marked(t, ws) }) },
		"attached": func(t *asked) error { t.say("attachment: " + show(attachment(t.ws))); return nil },

		"send":      func(t *asked) error { return t.ws.SendText(strings.Join(t.args, " ")) },
		"send-all":  sendAll,
		"send-late": sendLate,
		"send-around-write": func(t *asked) error {
			t.ws.SendText("before")
			if err := dormouse.Put(t.state.Storage(), "written", 1); err != nil {
				return err
			}
			t.ws.SendText("behind")
			return t.ws.SendText("last")
		},
		"close":     func(t *asked) error { return withSocket(t, func(ws *dormouse.WebSocket) { closeIt(t, ws) }) },
		"try-send":  func(t *asked) error { return withSocket(t, func(ws *dormouse.WebSocket) { trySend(t, ws) }) },
		"try-close": func(t *asked) error { return withSocket(t, func(ws *dormouse.WebSocket) { tryClose(t, ws) }) },

		"set-pair":   func(t *asked) error { return t.state.SetAutoResponse(t.arg(0), t.arg(1)) },
		"unset-pair": func(t *asked) error { t.state.RemoveAutoResponse(); return nil },
		"get-pair":   getPair,
		"timestamp":  func(t *asked) error { return withSocket(t, func(ws *dormouse.WebSocket) { timestamp(t, ws) }) },

		"set-event-timeout": func(t *asked) error { return t.state.SetEventTimeout(t.duration()) },
		"get-event-timeout": func(t *asked) error {
			text := "null"
			if d := t.state.EventTimeout(); d > 0 {
				text = fmt.Sprint(d.Milliseconds())
			}
			t.say("event timeout: " + text)
			return nil
		},

		"set-alarm":             func(t *asked) error { return t.setAlarm(t.duration()) },
		"alarm-in":              func(t *asked) error { return t.state.Storage().SetAlarm(time.Now().Add(t.duration())) },
		"get-alarm":             func(t *asked) error { text, err := t.tellAlarm(); t.say("getAlarm " + text); return err },
		"delete-alarm":          func(t *asked) error { return t.state.Storage().DeleteAlarm() },
		"delete-all":            func(t *asked) error { return t.state.Storage().DeleteAll() },
		"runs":                  func(t *asked) error { text, err := t.stored("runs"); t.say("runs " + text); return err },
		"inc-sql":               incSQL,
		"inc-open":              incOpen,
		"read-twice":            readTwice,
		"set-alarm-unconfirmed": func(t *asked) error { return t.setAlarm(t.duration()) },
		"facts":                 func(t *asked) error { return withSocket(t, func(ws *dormouse.WebSocket) { facts(t, ws) }) },
		"inc":                   inc,

		"past-write": pastWrite,
		"past-read":  pastRead,
		"past-keep":  pastKeep,
		"past-back":  pastBack,

		"remember":   func(t *asked) error { t.memory["remembered"] = strings.Join(t.args, " "); return nil },
		"remembered": remembered,

		"wait":       wait,
		"waits":      func(t *asked) error { return t.sleep(t.ctx, t.duration()) },
		"overstay":   overstay,
		"microtasks": func(t *asked) error { t.say(t.arg(0) + " begins"); t.say(t.arg(0) + " ends"); return nil },
		"block":      block,
		"block-fails": func(t *asked) error {
			t.state.BlockConcurrencyWhile(t.ctx, func(context.Context) error {
				return &dormouse.Error{Name: "RangeError", Message: "the section threw"}
			})
			t.say("went on")
			return nil
		},
		"send-kinds":      sendKinds,
		"listen":          func(*asked) error { return nil },
		"set-binary-type": func(t *asked) error { t.say(NotInGo); return nil },
		"reject-aside":    func(t *asked) error { t.say(NotInGo); return nil },
		"send-snapshot": func(t *asked) error {
			data := []byte{1, 2, 3}
			err := t.ws.Send(data)
			clear(data)
			return err
		},

		"abort": func(t *asked) error { t.state.Abort(strings.Join(t.args, " ")); t.say("went on"); return nil },
		"write-then-abort": func(t *asked) error {
			if err := dormouse.Put(t.state.Storage(), "committed", 1); err != nil {
				return err
			}
			if err := t.state.Storage().Sync(t.ctx); err != nil {
				return err
			}
			if err := dormouse.Put(t.state.Storage(), "uncommitted", 1); err != nil {
				return err
			}
			t.state.Abort("after a write")
			return nil
		},
		"read-after-abort": func(t *asked) error {
			for _, key := range []string{"committed", "uncommitted"} {
				text, err := t.stored(key)
				if err != nil {
					return err
				}
				t.say(key + ": " + text)
			}
			return nil
		},
		"transaction-fails": func(t *asked) error {
			err := t.state.Storage().Transaction(func() error {
				if err := dormouse.Put(t.state.Storage(), "n", 99); err != nil {
					return err
				}
				return &dormouse.Error{Name: "RangeError", Message: "the transaction threw"}
			})
			t.say("transaction: " + outcome(err))
			text, err := t.stored("n")
			t.say("n: " + text)
			return err
		},
		"wait-until-rejects": func(t *asked) error {
			t.state.WaitUntil(func(context.Context) error { return errors.New("rejected in waitUntil") })
			t.say("returns undefined")
			return nil
		},
		"keep-timer": func(t *asked) error {
			t.state.WaitUntil(func(ctx context.Context) error { <-ctx.Done(); return nil })
			t.say("a timer is pending")
			return nil
		},
		"keep-wait-until": func(t *asked) error {
			t.state.WaitUntil(func(ctx context.Context) error { <-ctx.Done(); return nil })
			return nil
		},
		"throw": func(t *asked) error {
			panic(&dormouse.Error{Name: "RangeError", Message: orElse(strings.Join(t.args, " "), "thrown")})
		},
		"reject": func(t *asked) error {
			return &dormouse.Error{Name: "TypeError", Message: orElse(strings.Join(t.args, " "), "rejected")}
		},
		"throw-string": func(*asked) error { panic("a string") },
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func withSocket(t *asked, f func(*dormouse.WebSocket)) error {
	ws, err := t.socket()
	if err == nil {
		f(ws)
	}
	return err
}

func list(t *asked) error {
	t.say("all " + t.firstTags())
	for _, tag := range t.args {
		t.say(show(tag) + " " + t.firstTags(tag))
	}
	if len(t.args) > 0 {
		return nil
	}
	// JavaScript's ways to leave the tag out have one word in Go.
	t.say("undefined " + t.firstTags())
	t.say("null " + t.firstTags("null"))
	t.say("unknown " + t.firstTags("nobody"))
	t.say(`"" ` + t.firstTags(""))
	t.say("an array Array, fresh true")
	return nil
}

func marked(t *asked, ws *dormouse.WebSocket) {
	same := t.memory["marked"] == ws
	mark := "undefined"
	if same {
		mark = `"here"`
	}
	t.say(fmt.Sprintf("mark %s, same object %t", mark, same))
}

func sendAll(t *asked) error {
	for ws := range t.state.WebSockets(t.args[min(1, len(t.args)):]...) {
		if err := ws.SendText(t.arg(0)); err != nil {
			return err
		}
	}
	return nil
}

func sendLate(t *asked) error {
	if err := t.sleep(t.ctx, t.duration()); err != nil {
		return err
	}
	if err := t.ws.SendText(t.arg(1)); err != nil {
		t.say(complaint(err))
		return nil
	}
	t.say(fmt.Sprintf("sent, readyState %d", t.ws.ReadyState()))
	return nil
}

func closeIt(t *asked, ws *dormouse.WebSocket) {
	code, _ := strconv.Atoi(t.arg(0))
	reason := ""
	if len(t.args) > 1 {
		reason = strings.Join(t.args[1:], " ")
	}
	if err := ws.Close(code, reason); err != nil {
		t.say(complaint(err))
	}
	t.say(fmt.Sprintf("readyState %d, listed %t", ws.ReadyState(), t.listed(ws)))
}

func trySend(t *asked, ws *dormouse.WebSocket) {
	err := ws.SendText("tried")
	t.say(fmt.Sprintf("send: %s, readyState %d", strings.Replace(outcome(err), "Error: Can't", "TypeError: Can't", 1), ws.ReadyState()))
}

func tryClose(t *asked, ws *dormouse.WebSocket) {
	err := ws.Close(4000, "again")
	t.say(fmt.Sprintf("close: %s, readyState %d", outcome(err), ws.ReadyState()))
}

func getPair(t *asked) error {
	request, response, ok := t.state.AutoResponse()
	if !ok {
		t.say("pair null")
		return nil
	}
	t.say(fmt.Sprintf("pair %s %s", show(request), show(response)))
	return nil
}

// timestamp says whether there is one, and whether it has moved since it was
// asked for last.
func timestamp(t *asked, ws *dormouse.WebSocket) {
	at := t.state.AutoResponseTimestamp(ws)
	last, asked := t.memory["timestamp"].(time.Time)
	if at.IsZero() {
		delete(t.memory, "timestamp")
		t.say("timestamp null")
		return
	}
	t.memory["timestamp"] = at
	moved := "first seen"
	if asked {
		moved = "the same as the last"
		if at.After(last) {
			moved = "later than the last"
		}
	}
	age := time.Since(at)
	of := "of this minute"
	if age < -time.Second || age >= time.Minute {
		of = fmt.Sprintf("off by %v", age)
	}
	t.say(fmt.Sprintf("timestamp Date, %s, %s", of, moved))
}

func inc(t *asked) error {
	n, err := t.add("n")
	switch {
	case err != nil:
		return err
	case t.ws != nil:
		return t.ws.SendText(strconv.Itoa(n))
	}
	t.say(strconv.Itoa(n))
	return nil
}

// sendKinds sends what a script has JavaScript send; none of it has another kind
// in Go than text and bytes.
func sendKinds(t *asked) error {
	for range 14 {
		if err := t.ws.SendText(NotInGo); err != nil {
			return err
		}
		t.say(NotInGo)
	}
	t.say(NotInGo) // to send nothing
	return nil
}

func incSQL(t *asked) error {
	q := t.state.Storage().SQL()
	if _, err := q.Exec("CREATE TABLE IF NOT EXISTS counter (n INTEGER)"); err != nil {
		return err
	}
	var n int
	err := q.QueryRow("SELECT n FROM counter").Scan(&n)
	n++
	if err == nil {
		_, err = q.Exec("UPDATE counter SET n = ?", n)
	} else if errors.Is(err, dormouse.ErrNoRows) {
		_, err = q.Exec("INSERT INTO counter VALUES (?)", n)
	}
	if err != nil {
		return err
	}
	return t.ws.SendText(strconv.Itoa(n))
}

// incOpen waits between reading and writing: others come between.
func incOpen(t *asked) error {
	n, _, err := dormouse.Get[int](t.state.Storage(), "n")
	if err != nil {
		return err
	}
	if err := t.sleep(t.ctx, 50*time.Millisecond); err != nil {
		return err
	}
	if err := dormouse.Put(t.state.Storage(), "n", n+1); err != nil {
		return err
	}
	return t.ws.SendText(strconv.Itoa(n + 1))
}

func readTwice(t *asked) error {
	first, _, err := dormouse.Get[int](t.state.Storage(), "n")
	if err != nil {
		return err
	}
	second, _, err := dormouse.Get[int](t.state.Storage(), "n")
	if err != nil {
		return err
	}
	before, _ := t.memory["read"].(int)
	t.memory["read"] = second
	if first == second && first >= before {
		return t.ws.SendText("whole")
	}
	return t.ws.SendText(fmt.Sprintf("%d %d %d", before, first, second))
}

// facts are what a hibernation must not change.
func facts(t *asked, ws *dormouse.WebSocket) {
	t.say(NotInGo) // url, extensions, binaryType
	t.say(fmt.Sprintf("tags %s, attachment %s", show(t.state.Tags(ws)), show(attachment(ws))))
}

func overstay(t *asked) error {
	if err := t.sleep(t.ctx, t.duration()); err != nil {
		return err
	}
	t.say("went on")
	return nil
}

func remembered(t *asked) error {
	text := "undefined"
	if v, ok := t.memory["remembered"]; ok {
		text = show(v)
	}
	t.say("remembered: " + text)
	return nil
}

func wait(t *asked) error {
	t.say(t.arg(1) + " begins")
	if err := t.sleep(t.ctx, t.duration()); err != nil {
		return err
	}
	t.say(t.arg(1) + " ends")
	return nil
}

func block(t *asked) error {
	t.state.BlockConcurrencyWhile(t.ctx, func(context.Context) error {
		t.say("section " + t.arg(1) + " begins")
		time.Sleep(t.duration())
		t.say("section " + t.arg(1) + " ends")
		return nil
	})
	t.say("behind section " + t.arg(1))
	return nil
}
