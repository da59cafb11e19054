// Package drive runs a conformance script against a runtime and tells what it
// answered. It knows the script's commands, raw WebSocket frames and the paths
// of the conformance Worker.
package drive

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/conformance/script"
)

// Runtime is a server with the conformance Worker on it.
type Runtime struct {
	Addr  string
	Admin string        // Dormouse's admin address, where "now" can be said; else empty
	Idle  time.Duration // how long an object must be left alone to leave memory, with a margin
	// Update has the server run newer code, and returns where it is then; nil: it
	// cannot, because others talk to it too.
	Update func(context.Context) (addr string, err error)
}

// run is one script on its way.
type run struct {
	ctx     context.Context
	rt      Runtime
	name    string // of the script: the objects of scripts that run at once differ
	http    *http.Client
	clients map[string]*client       // nil for one that was refused
	read    map[string]int           // by object, how many lines of its log were shown
	jobs    map[string]chan []string // what runs beside the script
	origin  *origin
}

// Run runs the script and returns one answer for each of its steps. An error is
// a script that cannot be run; whatever a runtime does is an answer.
func Run(ctx context.Context, rt Runtime, s *script.Script) ([][]string, error) {
	r := &run{
		ctx: ctx, rt: rt, name: s.Name,
		http:    &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 2 * patience},
		clients: map[string]*client{}, read: map[string]int{}, jobs: map[string]chan []string{},
	}
	defer r.close()
	var answers [][]string
	for _, step := range s.Steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lines, err := r.step(step.Command)
		if err != nil {
			return nil, fmt.Errorf("%s: > %s: %w", s.Name, step.Command, err)
		}
		answers = append(answers, lines)
	}
	return answers, nil
}

func (r *run) close() {
	for _, c := range r.clients {
		if c != nil {
			c.conn.Close()
		}
	}
	if r.origin != nil {
		r.origin.close()
	}
	for _, job := range r.jobs {
		<-job
	}
	r.http.CloseIdleConnections()
}

// step runs one command.
func (r *run) step(command string) ([]string, error) {
	words, err := split(command)
	if err != nil {
		return nil, err
	}
	if words, err = r.expand(words); err != nil {
		return nil, err
	}
	verb, args := words[0], words[1:]
	if c, ok := r.clients[verb]; ok {
		if c == nil {
			return []string{verb + " is not connected"}, nil
		}
		return r.speak(verb, c, args)
	}
	if need, ok := verbs[verb]; !ok {
		return nil, fmt.Errorf("%q is neither a command nor a connected client", verb)
	} else if len(args) < need {
		return nil, fmt.Errorf("%s wants %d words", verb, need)
	}
	switch verb {
	case "do":
		return r.do(args[0], args[1], args[2:])
	case "worker":
		return r.get("/worker/"+args[0], args[1:])
	case "ask":
		return r.ask(args[0], args[1], args[2:])
	case "plan":
		return r.get("/plan/"+url.PathEscape(r.object(args[0]))+"/"+url.PathEscape(strings.Join(args[1:], " ")), nil)
	case "log":
		return r.log(args[0], args[1:])
	case "connect":
		return r.connect(args[0], args[1], args[2:])
	case "start":
		if args[1] != "do" || r.jobs[args[0]] != nil {
			return nil, fmt.Errorf("want: start NEWNAME do OBJECT PROBE")
		}
		job := make(chan []string, 1)
		r.jobs[args[0]] = job
		go func() {
			lines, err := r.do(args[2], args[3], args[4:])
			if err != nil {
				lines = append(lines, err.Error())
			}
			job <- lines
			close(job)
		}()
		return nil, nil
	case "gather":
		return r.gather(args)
	case "join":
		job := r.jobs[args[0]]
		if job == nil {
			return nil, fmt.Errorf("nothing called %s was started", args[0])
		}
		return <-job, nil
	case "hibernate":
		return r.hibernate(args)
	case "update":
		return nil, r.update()
	case "idle":
		return r.idle(args)
	case "pause":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return nil, err
		}
		return nil, r.pause(d)
	}
	return nil, fmt.Errorf("the command %s is in the table and nowhere else", verb)
}

// verbs are the commands, with the least number of words behind each.
var verbs = map[string]int{"do": 2, "worker": 1, "ask": 2, "plan": 1, "log": 1, "connect": 2, "gather": 2, "start": 4, "join": 1, "hibernate": 1, "idle": 0, "pause": 1, "update": 0}

// object is the real name of a script's object: "room" or "Class/room".
func (r *run) object(name string) string {
	_, name = class(name)
	return r.name + "." + name
}

func class(name string) (string, string) {
	if c, n, ok := strings.Cut(name, "/"); ok {
		return c, n
	}
	return "Room", name
}

func (r *run) do(object, probe string, args []string) ([]string, error) {
	class, _ := class(object)
	return r.get("/do/"+class+"/"+url.PathEscape(r.object(object))+"/"+probe, args)
}

func (r *run) get(path string, args []string) ([]string, error) {
	query := url.Values{"arg": args}
	req, err := http.NewRequestWithContext(r.ctx, "GET", "http://"+r.rt.Addr+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	return r.send(req)
}

func (r *run) send(req *http.Request) ([]string, error) {
	res, err := r.http.Do(req)
	if err != nil {
		if r.ctx.Err() != nil {
			return nil, r.ctx.Err()
		}
		return []string{"no answer to the request"}, nil
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	lines := splitLines(string(body))
	if err != nil {
		lines = append(lines, "the answer broke off")
	}
	if res.StatusCode != http.StatusOK {
		lines = append([]string{fmt.Sprintf("status %d", res.StatusCode)}, lines...)
	}
	return lines, nil
}

// log shows the next lines that the object has written down: as many as said,
// waiting for them, or those that are there.
func (r *run) log(object string, args []string) ([]string, error) {
	want := 0
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return nil, err
		}
		want = n
	}
	name := r.object(object)
	deadline := time.Now().Add(patience)
	for {
		req, err := http.NewRequestWithContext(r.ctx, "GET", fmt.Sprintf("http://%s/log/%s?from=%d", r.rt.Addr, url.PathEscape(name), r.read[name]), nil)
		if err != nil {
			return nil, err
		}
		lines, err := r.send(req)
		if err != nil {
			return nil, err
		}
		if want > 0 && len(lines) > want {
			lines = lines[:want]
		}
		if len(lines) >= want {
			r.read[name] += len(lines)
			return lines, nil
		}
		if time.Now().After(deadline) {
			r.read[name] += len(lines)
			return append(lines, fmt.Sprintf("waited in vain for %d lines", want)), nil
		}
		if err := r.pause(10 * time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// connect joins an object, or the path that starts with a slash. Words with a
// colon are headers, others go into the query.
func (r *run) connect(name, object string, args []string) ([]string, error) {
	if _, verb := verbs[name]; verb || r.clients[name] != nil {
		return nil, fmt.Errorf("%s is taken", name)
	}
	class, _ := class(object)
	path := "/ws/" + class + "/" + url.PathEscape(r.object(object))
	query := url.Values{}
	if strings.HasPrefix(object, "/") {
		path = object
	}
	var header []string
	for _, a := range args {
		if k, v, ok := strings.Cut(a, "="); ok && !strings.Contains(k, ":") {
			query.Add(k, v)
		} else {
			header = append(header, a)
		}
	}
	c, lines, err := dial(r.rt.Addr, path+"?"+query.Encode(), header)
	r.clients[name] = c
	return lines, err
}

// hibernate has the objects leave memory: at once where that can be said, else
// by leaving them alone.
func (r *run) hibernate(objects []string) ([]string, error) {
	if r.rt.Admin == "" {
		return nil, r.pause(r.rt.Idle)
	}
	var lines []string
	for _, o := range objects {
		class, _ := class(o)
		ns := dormouse.Namespace("conformance-" + class)
		path := fmt.Sprintf("http://%s/api/objects/%s/%s/hibernate", r.rt.Admin, ns, ns.IDFromName(r.object(o)))
		req, err := http.NewRequestWithContext(r.ctx, "POST", path, nil)
		if err != nil {
			return nil, err
		}
		res, err := r.http.Do(req)
		if err != nil {
			return nil, err
		}
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		res.Body.Close()
		if res.StatusCode/100 != 2 {
			lines = append(lines, fmt.Sprintf("%s was not put to sleep: %s: %s", o, res.Status, bytes.TrimSpace(body)))
		}
	}
	return lines, nil
}

// update has the runtime take over newer code. Logs begin anew with it.
func (r *run) update() error {
	if r.rt.Update == nil {
		return fmt.Errorf("only a script whose code changes may update it")
	}
	addr, err := r.rt.Update(r.ctx)
	if err != nil {
		return err
	}
	r.http.CloseIdleConnections()
	r.rt.Addr, r.read = addr, map[string]int{}
	return nil
}

// idle leaves the objects alone for their idle time. With "pinging CLIENT" that
// client sends ping meanwhile, and hears pong.
func (r *run) idle(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, r.pause(r.rt.Idle)
	}
	if len(args) != 2 || args[0] != "pinging" || r.clients[args[1]] == nil {
		return nil, fmt.Errorf("idle takes nothing, or: pinging CLIENT")
	}
	const pings = 20
	c := r.clients[args[1]]
	for i := range pings {
		if err := r.pause(r.rt.Idle / pings); err != nil {
			return nil, err
		}
		if c.write(frame(0x81, []byte("ping"))) != nil {
			return []string{"the connection did not take it"}, nil
		}
		if got := c.recv(1); got[0] != `text "pong"` {
			return []string{fmt.Sprintf("ping %d was answered by %s", i+1, got[0])}, nil
		}
	}
	return nil, nil
}

func (r *run) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// clientVerbs are the commands to a client that want words behind them.
var clientVerbs = map[string]int{"frame": 1, "raw": 1, "burst": 2}

// speak is a command to a client.
func (r *run) speak(name string, c *client, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("what shall %s do?", name)
	}
	verb, args := args[0], args[1:]
	if len(args) < clientVerbs[verb] {
		return nil, fmt.Errorf("%s %s wants %d words", name, verb, clientVerbs[verb])
	}
	rest := strings.Join(args, " ")
	told := func(err error) ([]string, error) {
		if err != nil {
			return []string{"the connection did not take it"}, nil
		}
		return nil, nil
	}
	number := func(i, otherwise int) (int, error) {
		if i >= len(args) {
			return otherwise, nil
		}
		return strconv.Atoi(args[i])
	}
	switch verb {
	case "text":
		return told(c.write(frame(0x81, []byte(rest))))
	case "binary":
		b, err := hex.DecodeString(strings.Join(args, ""))
		if err != nil {
			return nil, err
		}
		return told(c.write(frame(0x82, b)))
	case "ping":
		return told(c.write(frame(0x89, []byte(rest))))
	case "pong":
		return told(c.write(frame(0x8a, []byte(rest))))
	case "frame": // a masked frame with any first byte
		first, err := strconv.ParseUint(args[0], 16, 8)
		if err != nil {
			return nil, err
		}
		return told(c.write(frame(byte(first), []byte(strings.Join(args[1:], " ")))))
	case "raw": // bytes as they are
		b, err := hex.DecodeString(strings.Join(args, ""))
		if err != nil {
			return nil, err
		}
		return told(c.write(b))
	case "burst": // text messages in one TCP segment; %d counts
		n, err := number(0, 0)
		if err != nil {
			return nil, err
		}
		var all []byte
		for i := range n {
			all = append(all, frame(0x81, []byte(strings.ReplaceAll(strings.Join(args[1:], " "), "%d", strconv.Itoa(i+1))))...)
		}
		return told(c.write(all))
	case "close":
		code, err := number(0, -1)
		if err != nil {
			return nil, err
		}
		if code < 0 {
			return told(c.write(frame(0x88, nil)))
		}
		return told(c.write(frame(0x88, append([]byte{byte(code >> 8), byte(code)}, strings.Join(args[1:], " ")...))))
	case "recv":
		n, err := number(0, 1)
		if err != nil {
			return nil, err
		}
		return c.recv(n), nil
	case "collect": // many texts on one line
		n, err := number(0, 1)
		if err != nil {
			return nil, err
		}
		var texts []string
		for _, line := range c.recv(n) {
			if text, err := strconv.Unquote(strings.TrimPrefix(line, "text ")); err == nil {
				line = text
			}
			texts = append(texts, line)
		}
		return []string{strings.Join(texts, ", ")}, nil
	case "hear": // whatever comes
		return c.hear(), nil
	case "drop": // FIN without a Close frame
		delete(r.clients, name)
		return told(c.conn.Close())
	}
	return nil, fmt.Errorf("a client cannot %q", verb)
}

// gather hears numbers from several clients and shows them in order: which
// client hears which is open.
func (r *run) gather(args []string) ([]string, error) {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range args[1:] {
		c := r.clients[name]
		if c == nil {
			return nil, fmt.Errorf("%s is not connected", name)
		}
		for _, line := range c.recv(n) {
			text, _ := strconv.Unquote(strings.TrimPrefix(line, "text "))
			number, err := strconv.Atoi(text)
			if err != nil {
				return []string{fmt.Sprintf("%s heard %s", name, line)}, nil
			}
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return []string{strings.Trim(fmt.Sprint(numbers), "[]")}, nil
}

// expand replaces what depends on the run: $origin, $later (milliseconds, more
// than an object needs to leave memory), and a word like x*2048.
func (r *run) expand(words []string) ([]string, error) {
	for i, w := range words {
		if strings.Contains(w, "$origin") {
			if r.origin == nil {
				o, err := startOrigin()
				if err != nil {
					return nil, err
				}
				r.origin = o
			}
			words[i] = strings.ReplaceAll(w, "$origin", r.origin.addr)
		}
		if w == "$later" {
			words[i] = strconv.FormatInt((r.rt.Idle + 1500*time.Millisecond).Milliseconds(), 10)
		}
		if text, times, ok := strings.Cut(w, "*"); ok && text != "" {
			if n, err := strconv.Atoi(times); err == nil && n <= maxMessage {
				words[i] = strings.Repeat(text, n)
			}
		}
	}
	return words, nil
}

// split cuts a command into words; one in double quotes is a Go string.
func split(command string) ([]string, error) {
	var words []string
	for command = strings.TrimSpace(command); command != ""; command = strings.TrimSpace(command) {
		if command[0] == '"' {
			quoted, err := strconv.QuotedPrefix(command)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", command, err)
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			words, command = append(words, word), command[len(quoted):]
			continue
		}
		word, rest, _ := strings.Cut(command, " ")
		words, command = append(words, word), rest
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("an empty command")
	}
	return words, nil
}

func splitLines(text string) []string {
	if text = strings.TrimRight(text, "\n"); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
