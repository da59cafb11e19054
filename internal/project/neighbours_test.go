package project

import (
	"strings"
	"testing"
)

// beside finds Workers by their names.
func beside(list ...*Config) func(string) *Config {
	return func(name string) *Config {
		for _, c := range list {
			if c.Name == name {
				return c
			}
		}
		return nil
	}
}

func caller() *Config {
	return &Config{
		Name: "api", File: "/api/wrangler.jsonc",
		FarObjects: []FarObject{{Name: "ROOM", Worker: "rooms", Class: "Room"}},
		Services:   []Service{{Binding: "ROOMS", Service: "rooms"}, {Binding: "ME", Service: "api"}},
	}
}

// TestMeetNamesWhatIsMissing: the binding, the Worker, and what to do.
func TestMeetNamesWhatIsMissing(t *testing.T) {
	rooms := &Config{Name: "rooms", Classes: []Class{{Name: "Room"}}}
	c := caller()
	if err := c.Meet(beside(c, rooms), false); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		others []*Config
		want   []string
	}{
		{nil, []string{`the binding ROOM of the Worker api leads to the Worker "rooms", which is not in this server`, "binding ROOMS", "dormouse serve", "env.ROOMS throws"}},
		{[]*Config{{Name: "rooms", Classes: []Class{{Name: "Lobby"}, {Name: "Hall"}}}}, []string{`the class "Room" of the Worker rooms, which has Lobby, Hall`}},
		{[]*Config{{Name: "rooms"}}, []string{"which has no classes"}},
	} {
		err := caller().Meet(beside(x.others...), false)
		for _, want := range x.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		}
	}
}

// TestMeetLeavesOutWhatMayBeMissing: it throws when it is used.
func TestMeetLeavesOutWhatMayBeMissing(t *testing.T) {
	c := caller()
	if err := c.Meet(beside(c), true); err != nil {
		t.Fatal(err)
	}
	if len(c.FarObjects) != 0 || len(c.Services) != 1 || len(c.Missing) != 2 || len(c.Warnings) != 2 {
		t.Errorf("left: %+v %+v, missing %+v, warnings %v", c.FarObjects, c.Services, c.Missing, c.Warnings)
	}
}

func TestWorkersAreApart(t *testing.T) {
	a := &Config{Name: "a", Classes: []Class{{Name: "Room", Namespace: "b-Room"}}}
	b := &Config{Name: "b", Classes: []Class{{Name: "Room"}}}
	for _, x := range []struct {
		list []*Config
		want string
	}{
		{[]*Config{b, {Name: "c", Classes: []Class{{Name: "Room"}}}}, ""},
		{[]*Config{a, {Name: "a"}}, `the Worker "a" is also in`},
		{[]*Config{a, b}, "has the objects of b-Room"},
	} {
		err := CheckApart(x.list)
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("got %v, want %q", err, x.want)
		}
	}
}
