package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/check"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
	"github.com/dormouse-dev/dormouse/server"
)

// checkCommand looks at a project and the machine before they are served.
func checkCommand() *cobra.Command {
	var o options
	var asJSON bool
	c := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Look whether this machine can serve the Worker in DIR, and what should be done",
		Args:  cobra.MaximumNArgs(1),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	o.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.dir = dirOf(args)
		list := o.check(c)
		if asJSON {
			if err := json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"findings": list}); err != nil {
				return err
			}
		} else {
			printFindings(c.OutOrStdout(), list)
		}
		failed := 0
		for _, f := range list {
			if f.Verdict == check.Fail {
				failed++
			}
		}
		if failed > 0 {
			return fmt.Errorf("%d of %d checks failed", failed, len(list))
		}
		return nil
	}
	return c
}

func printFindings(w io.Writer, list []check.Finding) {
	for _, f := range list {
		fmt.Fprintf(w, "%-4s  %-13s %s\n", f.Verdict, f.Part, f.Text)
	}
}

// check asks one thing after the other. What cannot be asked without a
// configuration is left out when there is none.
func (o *options) check(c *cobra.Command) []check.Finding {
	config, found, err := o.load()
	if err != nil {
		return []check.Finding{{Part: "configuration", Verdict: check.Fail, Text: err.Error()}, check.Descriptors()}
	}
	s := found.Settings
	list := []check.Finding{{Part: "configuration", Verdict: check.Fine, Text: fmt.Sprintf("%s, %d classes", config.Name, len(config.Classes))}}
	for _, w := range found.Warnings {
		list = append(list, check.Finding{Part: "configuration", Verdict: check.Warn, Text: w.Error()})
	}
	for _, w := range config.Warnings {
		list = append(list, check.Finding{Part: "configuration", Verdict: check.Warn, Text: w.Error()})
	}
	node := check.Finding{Part: "node", Verdict: check.Fine}
	if n, err := findNode(c, s.Node, found.Source("node"), config.Dir); err != nil {
		node.Verdict, node.Text = check.Fail, err.Error()
	} else {
		node.Text = fmt.Sprintf("%s (%s)", n.Version, n.Path)
	}
	list = append(list, node, check.Port("listen", s.Listen, "listen"))
	if s.Admin != "" {
		list = append(list, check.Port("admin", s.Admin, "admin"), reachable(s))
	}
	if s.TLSCert != "" {
		list = append(list, certificateFinding(s))
	}
	list = append(list, check.Descriptors(), check.Format(s.Data, server.DataFormat))
	return append(list, check.Disk(s.Data)...)
}

// reachable says whether the admin address may be listened on as it is.
func reachable(s *settings.Settings) check.Finding {
	r := runner{settings: s}
	o, err := r.adminOptions()
	switch {
	case err != nil:
		return check.Finding{Part: "admin", Verdict: check.Fail, Text: err.Error()}
	case o.Token == "":
		return check.Finding{Part: "admin", Verdict: check.Fine, Text: "only programs on this machine reach it"}
	}
	return check.Finding{Part: "admin", Verdict: check.Fine, Text: "guarded by a token"}
}

// expiresSoon is when a certificate is warned of.
const expiresSoon = 14 * 24 * time.Hour

func certificateFinding(s *settings.Settings) check.Finding {
	pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
	var leaf *x509.Certificate
	if err == nil {
		leaf = pair.Leaf
	}
	f := check.Finding{Part: "certificate", Verdict: check.Fine}
	switch {
	case err != nil:
		f.Verdict, f.Text = check.Fail, err.Error()
	case time.Until(leaf.NotAfter) < 0:
		f.Verdict, f.Text = check.Fail, fmt.Sprintf("expired at %v; renew it, it is read again without a restart", leaf.NotAfter)
	case time.Until(leaf.NotAfter) < expiresSoon:
		f.Verdict, f.Text = check.Warn, fmt.Sprintf("expires at %v; renew it, it is read again without a restart", leaf.NotAfter)
	default:
		f.Text = fmt.Sprintf("for %v until %s", leaf.DNSNames, leaf.NotAfter.Format(time.DateOnly))
	}
	return f
}
