package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeCertificate writes a certificate with this serial number and its key.
func writeCertificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: b}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	c := &certificates{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), log: slog.New(slog.DiscardHandler)}
	if c.load() == nil {
		t.Fatal("files that are not there were read")
	}
	writeCertificate(t, c.cert, c.key, 1)
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	age := time.Now().Add(-time.Hour)
	serial := func() int64 {
		t.Helper()
		// As if a while had passed since the last look, and since each change.
		c.looked = time.Time{}
		age = age.Add(time.Minute)
		os.Chtimes(c.cert, age, age)
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("got the certificate %d, want the first", got)
	}
	writeCertificate(t, c.cert, c.key, 2)
	if got := serial(); got != 2 {
		t.Errorf("got the certificate %d, want the second", got)
	}
	// Half of a renewal.
	other := filepath.Join(dir, "other.pem")
	writeCertificate(t, c.cert, other, 3)
	if got := serial(); got != 2 {
		t.Errorf("got the certificate %d whose key is another's, want the second", got)
	}
	os.Rename(other, c.key)
	if got := serial(); got != 3 {
		t.Errorf("got the certificate %d, want the third", got)
	}
}
