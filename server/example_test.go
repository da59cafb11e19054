package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

// scale is an object that weighs.
type scale struct {
	state *dormouse.State
	grams int
}

func newScale(s *dormouse.State, _ struct{}) (*scale, error) { return &scale{state: s}, nil }

// Put weighs something more.
func (o *scale) Put(_ context.Context, what string, grams int) (int, error) {
	if grams < 0 {
		return 0, &dormouse.Error{Name: "RangeError", Message: what + " cannot weigh less than nothing"}
	}
	o.grams += grams
	return o.grams, nil
}

func (o *scale) Reading(context.Context) (int, error) { return o.grams, nil }

func (o *scale) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, "%s on the scale", what)
}

// Objects in Go call each other by expression: nothing has a name that could be
// misspelt, and nothing is copied.
func ExampleCall() {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	kitchen := s.Define(dormouse.NewClass("Scale", newScale, struct{}{})).ByName("kitchen")
	ctx := context.Background()

	grams, err := server.Call(ctx, kitchen, func(o *scale, ctx context.Context) (int, error) { return o.Put(ctx, "acorns", 30) })
	fmt.Println(grams, err)
	fmt.Println(server.Call(ctx, kitchen, (*scale).Reading))
	// Output:
	// 30 <nil>
	// 30 <nil>
}

// Methods can be called by name, too, as objects in JavaScript are: see package
// server/node.
func ExampleInvoke() {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	kitchen := s.Define(dormouse.NewClass("Scale", newScale, struct{}{})).ByName("kitchen")
	ctx := context.Background()

	fmt.Println(server.Invoke[int](ctx, kitchen, "put", "acorns", 30))
	_, err := server.Invoke[int](ctx, kitchen, "put", "air", -1)
	if e, ok := errors.AsType[*dormouse.Error](err); ok {
		fmt.Println(e.Name, e.Message, e.Remote)
	}
	// Output:
	// 30 <nil>
	// RangeError air cannot weigh less than nothing true
}

// Within the program an object answers requests as a server does.
func ExampleStub_Fetch() {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	kitchen := s.Define(dormouse.NewClass("Scale", newScale, struct{}{})).ByName("kitchen")

	r, err := http.NewRequest("POST", "http://scale/", strings.NewReader("a nut"))
	if err != nil {
		panic(err)
	}
	answer, err := kitchen.Fetch(r)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	fmt.Println(answer.StatusCode, string(text), err)
	// Output:
	// 202 a nut on the scale <nil>
}

// A server is part of a program that has a router already: its objects are
// handlers.
func ExampleServer_Define() {
	s := &server.Server{} // a Config{Data: "folder"} would keep what they store
	defer s.Shutdown(context.Background())
	scales := s.Define(dormouse.NewClass("Scale", newScale, struct{}{}))

	mux := http.NewServeMux()
	mux.HandleFunc("POST /scales/{name}", func(w http.ResponseWriter, r *http.Request) {
		scales.ByName(r.PathValue("name")).ServeHTTP(w, r)
	})
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", "/scales/kitchen", strings.NewReader("a nest")))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 202 a nest on the scale
}
