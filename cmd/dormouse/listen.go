package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/systemd"
)

// listenAll opens the addresses before anything is started, or takes those that
// systemd has opened: the one named "admin" for operators, another for clients.
func (r *runner) listenAll() (clients, operators net.Listener, err error) {
	opened, err := systemd.Listeners()
	if err != nil {
		return nil, nil, err
	}
	for name, list := range opened {
		for _, l := range list {
			switch {
			case name == adminListener && operators == nil:
				operators = l
			case name != adminListener && clients == nil:
				clients = l
			default:
				return nil, nil, fmt.Errorf("systemd has opened a socket too many, %s (%s); Dormouse takes one for clients and one with FileDescriptorName=%s", l.Addr(), name, adminListener)
			}
		}
	}
	if clients == nil {
		if clients, err = listen(r.settings.Listen, "--listen"); err != nil {
			return nil, nil, err
		}
	}
	if operators != nil || r.settings.Admin == "" {
		return clients, operators, nil
	}
	if operators, err = listen(r.settings.Admin, "--admin"); err != nil {
		clients.Close()
		return nil, nil, err
	}
	return clients, operators, nil
}

func listen(address, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is in use by another program; stop that one, or choose another with %s", address, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}

func (r *runner) adminOptions() (o admin.Options, err error) {
	if path := r.settings.AdminTokenFile; path != "" {
		if o.Token, err = readToken(path); err != nil {
			return o, err
		}
	}
	if r.settings.Admin == "" {
		return o, nil
	}
	return o, admin.CheckListen(r.settings.Admin, o)
}

// readToken reads the token of the admin address.
func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("admin_token_file: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	token := strings.TrimSpace(line)
	if token == "" {
		return "", fmt.Errorf("admin_token_file: the first line of %s is empty", path)
	}
	return token, nil
}

func (r *runner) certificate() (*tls.Config, error) {
	if r.settings.TLSCert == "" {
		return nil, nil
	}
	c := &certificates{cert: r.settings.TLSCert, key: r.settings.TLSKey, log: r.log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}, nil
}
