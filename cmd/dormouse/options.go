package main

import (
	"time"

	"github.com/spf13/pflag"
)

// options are Dormouse's own settings. (Replaced by package settings.)
type options struct {
	listen, admin, data, node, config string
	adminToken                        string
	hibernateAfter                    time.Duration
	guests                            int
	verbose                           bool
	logFormat                         string
	tlsCert, tlsKey                   string
	permissions                       bool
	env                               string
	secretFiles                       []string
	allowMissing                      bool
}

func (o *options) register(f *pflag.FlagSet) {
	f.StringVar(&o.listen, "listen", "127.0.0.1:8787", "address for clients")
	f.StringVar(&o.admin, "admin", "127.0.0.1:8788", "address of the admin API; empty for none")
	f.StringVar(&o.adminToken, "admin-token-file", "", "file with the token of the admin API")
	f.StringVar(&o.data, "data", "", "folder of everything that stays (default DIR/.dormouse)")
	f.StringVar(&o.node, "node", "", "Node binary for guests")
	f.DurationVar(&o.hibernateAfter, "hibernate-after", 10*time.Second, "idle time after which an object leaves memory")
	f.IntVar(&o.guests, "guests", 0, "number of guest processes (0: automatic)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print each wake and sleep")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate for TLS in this process")
	f.StringVar(&o.tlsKey, "tls-key", "", "its key")
	f.BoolVar(&o.permissions, "guest-permissions", true, "Node's permission model in guests")
	f.StringVar(&o.env, "env", "", "environment of the wrangler file")
	f.StringSliceVar(&o.secretFiles, "secret-file", nil, "file with secrets, instead of .dev.vars")
	f.BoolVar(&o.allowMissing, "allow-missing-bindings", false, "start although bindings cannot be offered; they throw when used")
}
