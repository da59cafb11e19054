package peers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// behindTLS are servers behind a proxy of ours that ends TLS. What the proxy
// costs is the same for all and not in their figures.
func behindTLS(root, tmp string, worker runtimes.Worker) ([]contest.Peer, error) {
	proxy := filepath.Join(tmp, "tlsproxy")
	if err := build(root, proxy, "tlsproxy"); err != nil {
		return nil, err
	}
	cert, key := filepath.Join(tmp, "cert.pem"), filepath.Join(tmp, "key.pem")
	if err := selfSigned(cert, key); err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	peer := func(name, version string, start func(context.Context) (*runtimes.Server, error)) contest.Peer {
		return contest.Peer{Name: name, Version: version, Special: true, Start: func(ctx context.Context) (*runtimes.Server, error) {
			s, err := start(ctx)
			if err != nil {
				return nil, err
			}
			front, err := runtimes.Start(exec.Command(proxy, s.Addr, cert, key))
			if err != nil {
				s.Stop()
				return nil, err
			}
			s.AtStop(front.Stop)
			if s.Addr, err = told(front); err != nil {
				s.Stop()
				return nil, err
			}
			return s, nil
		}}
	}
	return []contest.Peer{
		peer(TLSDormouse, dormouseVersion(), func(ctx context.Context) (*runtimes.Server, error) {
			return runtimes.StartDormouse(ctx, worker, hibernateAfter)
		}),
		peer(TLSWorkerd, version(runtimes.FindWorkerd()), func(ctx context.Context) (*runtimes.Server, error) {
			return runtimes.StartWorkerd(ctx, worker)
		}),
	}, nil
}

// selfSigned writes a certificate for loopback.
func selfSigned(cert, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600)
}
