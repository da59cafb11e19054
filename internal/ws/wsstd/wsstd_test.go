package wsstd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, l *loop.Loop, pair func(t *testing.T) (near, far net.Conn)) *wstest.Subject {
	tr := New(l)
	l.Start()
	t.Cleanup(func() {
		tr.Close()
		l.Stop()
	})
	return &wstest.Subject{Loop: l, Transport: tr, Pair: pair}
}

func TestContract(t *testing.T) {
	wstest.Run(t, func(t *testing.T) *wstest.Subject {
		l, err := loop.New()
		if err != nil {
			t.Fatal(err)
		}
		return open(t, l, tcpPair)
	})
}

// TestContractOnPortableLoop is what other systems have.
func TestContractOnPortableLoop(t *testing.T) {
	wstest.Run(t, func(t *testing.T) *wstest.Subject { return open(t, loop.NewPortable(), tcpPair) })
}

func TestContractOverTLS(t *testing.T) {
	server := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	client := &tls.Config{InsecureSkipVerify: true}
	wstest.Run(t, func(t *testing.T) *wstest.Subject {
		return open(t, loop.NewPortable(), func(t *testing.T) (net.Conn, net.Conn) {
			near, far := tcpPair(t)
			c, s := tls.Client(near, client), tls.Server(far, server)
			shaken := make(chan error, 1)
			go func() { shaken <- s.Handshake() }()
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			if err := <-shaken; err != nil {
				t.Fatal(err)
			}
			return c, s
		})
	})
}

func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
