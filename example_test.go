package dormouse_test

import (
	"context"
	"fmt"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

// cart keeps what somebody wants to buy.
type cart struct{ state *dormouse.State }

type item struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

func newCart(s *dormouse.State, _ struct{}) (*cart, error) { return &cart{s}, nil }

// Add adds an item, and returns how many of it there are.
func (c *cart) Add(_ context.Context, name string) (int, error) {
	key := "item/" + name
	it, _, err := dormouse.Get[item](c.state.Storage(), key)
	if err != nil {
		return 0, err
	}
	it.Name = name
	it.Count++
	return it.Count, dormouse.Put(c.state.Storage(), key, it)
}

func (c *cart) Items(context.Context) (list []item, err error) {
	for e, err := range dormouse.List[item](c.state.Storage(), dormouse.ListOptions{Prefix: "item/"}) {
		if err != nil {
			return nil, err
		}
		list = append(list, e.Value)
	}
	return list, nil
}

// A value of any type is stored under a key, and read again. The caller learns of
// it when it is on disk.
func ExamplePut() {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	ada := s.Define(dormouse.NewClass("Cart", newCart, struct{}{})).ByName("ada")

	ctx := context.Background()
	for _, name := range []string{"tea", "acorns", "tea"} {
		_, err := server.Call(ctx, ada, func(c *cart, ctx context.Context) (int, error) { return c.Add(ctx, name) })
		if err != nil {
			fmt.Println(err)
		}
	}
	items, err := server.Call(ctx, ada, (*cart).Items)
	fmt.Println(items, err)
	// Output: [{acorns 1} {tea 2}] <nil>
}
