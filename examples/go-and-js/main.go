//go:build !windows

// Go-and-js runs a class in Go and one in JavaScript in one server: carts, in Go,
// ask the stock, in JavaScript, and the Worker asks carts.
//
//	go run ./examples/go-and-js
//	curl -d '{"item": "acorn", "count": 3}' http://127.0.0.1:8787/ada
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
	"github.com/dormouse-dev/dormouse/server/node"
)

// item is one of a cart's, in Go and in JavaScript.
type item struct {
	Name  string `json:"item"`
	Count int    `json:"count"`
}

// cart is what somebody is going to buy.
type cart struct {
	state *dormouse.State
	stock *server.Stub
}

// Add is called from JavaScript: cart.add({ item: "acorn", count: 3 }). It takes
// out of the stock what it keeps.
func (c *cart) Add(ctx context.Context, i item) (list []item, err error) {
	left, err := server.Invoke[int](ctx, c.stock, "take", i)
	if err != nil {
		return nil, err
	}
	if list, _, err = dormouse.Get[[]item](c.state.Storage(), "items"); err != nil {
		return nil, err
	}
	list = append(list, i)
	log.Printf("%d of %s left", left, i.Name)
	return list, dormouse.Put(c.state.Storage(), "items", list)
}

// shop is a server with both classes.
func shop(ctx context.Context, data, worker string) (*server.Server, error) {
	s := &server.Server{Config: server.Config{Data: data}}
	stock := s.Namespace("Stock").ByName("all") // of the Worker's
	carts := s.Define(dormouse.NewClass("Cart", func(state *dormouse.State, stock *server.Stub) (*cart, error) {
		return &cart{state, stock}, nil
	}, stock))
	w := node.Worker{Dir: worker, Bind: map[string]*server.Namespace{"CARTS": carts}}
	return s, w.Add(ctx, s)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8787", "where to listen")
	data := flag.String("data", "shop-data", "the folder that keeps code and databases")
	worker := flag.String("worker", "examples/go-and-js/worker", "the folder of the Worker")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, err := shop(ctx, *data, *worker)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		<-ctx.Done()
		s.Shutdown(context.Background())
	}()
	fmt.Println("listening on http://" + *addr)
	if err := s.ListenAndServe(*addr); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}
