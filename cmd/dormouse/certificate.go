package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateEvery is how often the files are looked at, if clients come.
const certificateEvery = time.Second

// certificates is a certificate that is read again when its files change: a
// renewal takes effect without a restart. Connections that exist keep theirs.
type certificates struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex // guards the following
	now     *tls.Certificate
	looked  time.Time
	changed [2]time.Time // of the files, as of the last try
}

// load reads the files.
func (c *certificates) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked, c.changed = time.Now(), c.times()
	return c.loadLocked()
}

func (c *certificates) loadLocked() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("tls_cert, tls_key: %w", err)
	}
	c.now = &pair
	return nil
}

func (c *certificates) times() (t [2]time.Time) {
	for i, name := range []string{c.cert, c.key} {
		if info, err := os.Stat(name); err == nil {
			t[i] = info.ModTime()
		}
	}
	return t
}

// get is the certificate for a handshake. Files that cannot be read, as when
// only one of them has been replaced yet, leave the old one in use.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateEvery {
		return c.now, nil
	}
	c.looked = time.Now()
	if t := c.times(); t != c.changed {
		c.changed = t
		if err := c.loadLocked(); err != nil {
			c.log.Error("the new certificate cannot be used, the old one stays", "reason", err)
		} else {
			c.log.Info("certificate read again", "not_after", c.now.Leaf.NotAfter)
		}
	}
	return c.now, nil
}
