package project

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// FarObject is a name in env that stands for a namespace of another Worker's.
type FarObject struct{ Name, Worker, Class string }

// Far lists the names of the other Workers that the bindings lead to.
func (c *Config) Far() (names []string) {
	add := func(name string) {
		if name != c.Name && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, o := range c.FarObjects {
		add(o.Worker)
	}
	for _, s := range c.Services {
		add(s.Service)
	}
	return names
}

// Meet looks whether there is what bindings to other Workers lead to. other finds
// a Worker that runs beside this one, by its name; nil: there is none. With
// allowMissing the bindings that lead nowhere join Missing. Its error is a
// *source.Problem or source.Problems.
func (c *Config) Meet(other func(name string) *Config, allowMissing bool) error {
	var problems source.Problems
	keep := func(binding, worker, class string) bool {
		p := c.leadsNowhere(binding, worker, class, other)
		switch {
		case p == nil:
			return true
		case allowMissing:
			c.Missing = append(c.Missing, MissingBinding{Name: binding, What: what(worker, class), Key: p.Key})
			c.Warnings = append(c.Warnings, p)
			return false
		}
		problems = append(problems, p)
		return true
	}
	c.FarObjects = slices.DeleteFunc(slices.Clone(c.FarObjects), func(o FarObject) bool { return !keep(o.Name, o.Worker, o.Class) })
	c.Services = slices.DeleteFunc(slices.Clone(c.Services), func(s Service) bool { return !keep(s.Binding, s.Service, "") })
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// what is what a binding leads to, for a sentence.
func what(worker, class string) string {
	if class == "" {
		return "the Worker " + worker
	}
	return "objects of the class " + class + " of the Worker " + worker
}

// leadsNowhere says why a binding cannot be had; nil: it can.
func (c *Config) leadsNowhere(binding, worker, class string, other func(string) *Config) *source.Problem {
	if worker == c.Name {
		return nil // HasClass has been asked of our own
	}
	w := other(worker)
	if w != nil && (class == "" || w.HasClass(class)) {
		return nil
	}
	then := "; or start with --allow-missing-bindings, and env." + binding + " throws when it is used."
	if w == nil {
		return c.problemOf(binding, fmt.Sprintf("the binding %s of the Worker %s leads to the Worker %q, which is not in this server", binding, c.Name, worker),
			"Serve both, with `dormouse serve` and the folders of the two"+then)
	}
	there := make([]string, len(w.Classes))
	for i, k := range w.Classes {
		there[i] = k.Name
	}
	has := "has no classes"
	if len(there) > 0 {
		has = "has " + strings.Join(there, ", ")
	}
	return c.problemOf(binding, fmt.Sprintf("the binding %s of the Worker %s leads to the class %q of the Worker %s, which %s", binding, c.Name, class, worker, has),
		"Name one of those, or let a migration of that Worker introduce it"+then)
}

// problemOf stands where a binding does, if its file has been read.
func (c *Config) problemOf(binding, message, hint string) *source.Problem {
	if at, ok := c.farAt[binding]; ok {
		return at.Problem(message, hint)
	}
	return &source.Problem{File: source.Display(c.File), Message: message, Hint: hint}
}

// CheckApart refuses Workers that could not run side by side in one server:
// two of one name, and two that have the same objects.
func CheckApart(list []*Config) error {
	names := make(map[string]*Config)
	spaces := make(map[dormouse.Namespace]*Config)
	for _, c := range list {
		if first := names[c.Name]; first != nil {
			return &source.Problem{File: source.Display(c.File), Message: fmt.Sprintf("the Worker %q is also in %s", c.Name, source.Display(first.File)),
				Hint: "Give one of them another \"name\"."}
		}
		names[c.Name] = c
		for _, k := range c.Classes {
			ns := c.Namespace(k.Name)
			if first := spaces[ns]; first != nil {
				return &source.Problem{File: source.Display(c.File), Message: fmt.Sprintf("the class %s of the Worker %s has the objects of %s, and so has a class of the Worker %s", k.Name, c.Name, ns, first.Name),
					Hint: "Objects that were transferred live in one Worker only: let a migration of the other delete its class."}
			}
			spaces[ns] = c
		}
	}
	return nil
}
