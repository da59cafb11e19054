package drive

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// packed is what /encoded/… says, and its brotli: nothing here can make that.
const (
	packed       = "packed packed packed"
	packedBrotli = "1b1300f8053c64a93e574352443c91c097d700"
)

// web is what an origin answers to requests that are no upgrades.
type web struct {
	mu   sync.Mutex
	left map[string]chan struct{} // by name, closed when the client of a drip has left
}

// gone is closed when whoever hears the drip of that name has left.
func (w *web) gone(name string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == nil {
		w.left = make(map[string]chan struct{})
	}
	if w.left[name] == nil {
		w.left[name] = make(chan struct{})
	}
	return w.left[name]
}

// paths are by the first part of the path. Redirects say their query's "to".
func (w *web) paths() map[string]func(http.ResponseWriter, *http.Request, string) {
	return map[string]func(http.ResponseWriter, *http.Request, string){
		"echo":   echo,
		"status": func(out http.ResponseWriter, r *http.Request, rest string) { status(out, rest) },
		"reason": func(out http.ResponseWriter, r *http.Request, rest string) {
			raw(out, "HTTP/1.1 200 As it is\r\nContent-Length: 2\r\n\r\nhi")
		},
		"headers": func(out http.ResponseWriter, r *http.Request, rest string) {
			raw(out, "HTTP/1.1 200 OK\r\nX-Twice: 1\r\nx-twice: 2\r\nX-Latin: \xe9\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n")
		},
		"cookies": func(out http.ResponseWriter, r *http.Request, rest string) {
			out.Header()["Set-Cookie"] = []string{"a=1, b", "c=2"}
		},
		"redirect": redirect,
		"round": func(out http.ResponseWriter, r *http.Request, rest string) {
			http.Redirect(out, r, "/round", http.StatusFound)
		},
		"hops":    hops,
		"encoded": func(out http.ResponseWriter, r *http.Request, rest string) { encoded(out, rest) },
		"cut": func(out http.ResponseWriter, r *http.Request, rest string) {
			raw(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		},
		"cut-stream": func(out http.ResponseWriter, r *http.Request, rest string) {
			raw(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		},
		"hang-up": func(out http.ResponseWriter, r *http.Request, rest string) { raw(out, "") },
		"hangs":   func(out http.ResponseWriter, r *http.Request, rest string) { <-r.Context().Done() },
		"drip":    w.drip,
		"left":    w.hasLeft,
		"large": func(out http.ResponseWriter, r *http.Request, rest string) {
			out.Write(bytes.Repeat([]byte("x"), 1<<20))
		},
		"early": func(out http.ResponseWriter, r *http.Request, rest string) {
			out.Header().Set("Connection", "close")
			io.WriteString(out, "early")
		},
	}
}

func (w *web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	serve := w.paths()[first]
	if serve == nil {
		http.NotFound(out, r)
		return
	}
	serve(out, r, rest)
}

// echo tells what came.
func echo(out http.ResponseWriter, r *http.Request, _ string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMessage))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	headers := map[string]string{"host": r.Host}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if len(r.TransferEncoding) > 0 {
		headers["transfer-encoding"] = strings.Join(r.TransferEncoding, ", ")
	}
	out.Header().Set("Content-Type", "application/json")
	json.NewEncoder(out).Encode(map[string]any{"method": r.Method, "path": r.RequestURI, "headers": headers, "body": string(body)})
}

func status(out http.ResponseWriter, rest string) {
	code, err := strconv.Atoi(rest)
	if err != nil || code < 200 || code > 599 {
		code = http.StatusBadRequest
	}
	out.Header().Set("Content-Type", "text/plain")
	out.WriteHeader(code)
	if code != http.StatusNoContent && code != http.StatusNotModified {
		fmt.Fprintf(out, "it is %d", code)
	}
}

func redirect(out http.ResponseWriter, r *http.Request, rest string) {
	code, _ := strconv.Atoi(rest)
	io.Copy(io.Discard, r.Body)
	out.Header().Set("Location", r.URL.Query().Get("to"))
	out.WriteHeader(code)
}

func hops(out http.ResponseWriter, r *http.Request, rest string) {
	n, _ := strconv.Atoi(rest)
	if n == 0 {
		io.WriteString(out, "arrived")
		return
	}
	http.Redirect(out, r, fmt.Sprintf("/hops/%d", n-1), http.StatusFound)
}

func encoded(out http.ResponseWriter, how string) {
	var body bytes.Buffer
	switch how {
	case "gzip":
		z := gzip.NewWriter(&body)
		io.WriteString(z, packed)
		z.Close()
	case "deflate":
		z := zlib.NewWriter(&body)
		io.WriteString(z, packed)
		z.Close()
	case "br":
		b, _ := hex.DecodeString(packedBrotli)
		body.Write(b)
	case "broken":
		how = "gzip"
		body.WriteString("not packed")
	default:
		body.WriteString(packed)
	}
	out.Header().Set("Content-Encoding", how)
	out.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	out.Write(body.Bytes())
}

// drip says something every few milliseconds, "times" often or until its client
// has left.
func (w *web) drip(out http.ResponseWriter, r *http.Request, _ string) {
	times, err := strconv.Atoi(r.URL.Query().Get("times"))
	for i := 0; err != nil || i < times; i++ {
		if _, err := io.WriteString(out, "drip"); err != nil {
			break
		}
		out.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			close(w.gone(r.URL.Query().Get("name")))
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (w *web) hasLeft(out http.ResponseWriter, r *http.Request, _ string) {
	select {
	case <-w.gone(r.URL.Query().Get("name")):
		io.WriteString(out, "it has left")
	case <-time.After(patience):
		io.WriteString(out, "it is still there")
	}
}

// raw says bytes as they are, and ends the connection.
func raw(out http.ResponseWriter, text string) {
	conn, rw, err := out.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	rw.WriteString(text)
	rw.Flush()
}
