package deploy

import (
	"encoding/json"
	"fmt"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// elsewhere is the class of a namespace that another Worker has.
const elsewhere = -1

// far says for each binding of another Worker's namespace which that is. They
// come after those of our own, as in the guest's configuration.
func (v *Version) far(o Options) map[int]guest.Far {
	if len(v.Config.FarObjects) == 0 {
		return nil
	}
	far := make(map[int]guest.Far)
	for i, n := range v.Config.FarObjects {
		far[len(v.Config.Objects)+i] = guest.Far{Neighbour: n.Worker, Namespace: o.Namespace(n.Worker, n.Class)}
	}
	return far
}

// fronts says for each service which entrypoint it is, and with which props: the
// host tells these to the other Worker, so that nobody can forge them.
func (v *Version) fronts() ([]guest.Front, error) {
	list := make([]guest.Front, len(v.Config.Services))
	for i, s := range v.Config.Services {
		list[i] = guest.Front{Neighbour: s.Service, Entrypoint: s.Entrypoint}
		if s.Props == nil || s.Service == v.Config.Name {
			continue // the guest calls itself
		}
		props, err := structuredclone.FromJSON(s.Props)
		if err == nil {
			list[i].Props, err = structuredclone.Encode(props)
		}
		if err != nil {
			return nil, fmt.Errorf("props of the binding %s: %w", s.Binding, err)
		}
	}
	return list, nil
}

// service is a service binding in the configuration of a guest.
type service struct {
	Name       string          `json:"name"`
	Self       bool            `json:"self,omitempty"` // an entrypoint of the Worker itself:
	Entrypoint string          `json:"entrypoint,omitempty"`
	Props      json.RawMessage `json:"props,omitempty"`
}

func services(c *project.Config) []service {
	list := []service{}
	for _, s := range c.Services {
		one := service{Name: s.Binding}
		if s.Service == c.Name {
			one.Self, one.Entrypoint, one.Props = true, s.Entrypoint, s.Props
		}
		list = append(list, one)
	}
	return list
}
