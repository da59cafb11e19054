package drive

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ask sends a request as it is said, and shows the answer: its status line, its
// headers by name, and its body. Words with a colon are headers, "=TEXT" is the
// body; "chunked" sends that in chunks, one for each word.
//
//	ask GET /http/text Accept:*/*
//	ask POST /http/pass =body
func (r *run) ask(method, target string, args []string) ([]string, error) {
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, strings.ReplaceAll(target, "$me", r.name), r.rt.Addr)
	var body strings.Builder
	chunked, sized := false, false
	for _, a := range args {
		switch text, isBody := strings.CutPrefix(a, "="); {
		case a == "chunked":
			chunked = true
			head.WriteString("Transfer-Encoding: chunked\r\n")
		case isBody && chunked:
			fmt.Fprintf(&body, "%x\r\n%s\r\n", len(text), text)
		case isBody:
			sized = true
			body.WriteString(text)
		default:
			fmt.Fprintf(&head, "%s\r\n", a)
		}
	}
	if chunked {
		body.WriteString("0\r\n\r\n")
	} else if sized {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", body.Len())
	}
	conn, err := net.DialTimeout("tcp", r.rt.Addr, patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, head.String()+"\r\n"+body.String()); err != nil {
		return []string{"the connection did not take it"}, nil
	}
	return answered(bufio.NewReader(conn), method)
}

// unsaid are headers that tell of the server and not of the answer. How a body is
// framed depends on how much of it was there when the head was written.
var unsaid = []string{"Date", "Server", "Connection"}

func answered(in *bufio.Reader, method string) ([]string, error) {
	first, err := in.ReadString('\n')
	if err != nil {
		return []string{"no answer to the request"}, nil
	}
	res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(first), in)), &http.Request{Method: method})
	if err != nil {
		return []string{"an answer that is none: " + err.Error()}, nil
	}
	defer res.Body.Close()
	lines := []string{strings.TrimSpace(strings.TrimPrefix(first, "HTTP/1.1 "))}
	var names []string
	for name := range res.Header {
		if !slices.Contains(unsaid, name) && (name != "Content-Length" || method == "HEAD") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range res.Header[name] {
			lines = append(lines, strings.ToLower(name)+": "+strings.Trim(strconv.Quote(value), `"`))
		}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxMessage))
	for _, part := range bytes.SplitAfter(body, []byte("\n")) {
		if len(part) > 0 {
			lines = append(lines, strconv.Quote(string(part)))
		}
	}
	if err != nil {
		lines = append(lines, "the answer broke off")
	}
	return lines, nil
}
