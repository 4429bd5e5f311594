package mysql

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// authority makes certificates in a folder that the server, which is another user, can read.
type authority struct {
	t           *testing.T
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	for dir := a.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a.certificate, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes name.pem and name.key.
func (a *authority) issue(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", secret)
	return made, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// TestTLS opens servers with and without TLS in each ssl-mode.
func TestTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	ours.issue("named", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	ours.issue("unnamed", &x509.Certificate{DNSNames: []string{"db.example"}})
	ours.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	serve := func(args ...string) string {
		return engines.Start(t, engines.MariaDB, engines.Options{Fast: true, Args: args}).URL
	}
	secured := func(name string) string {
		return serve("--ssl-ca="+ours.file("ca.pem"), "--ssl-cert="+ours.file(name+".pem"), "--ssl-key="+ours.file(name+".key"))
	}
	named, unnamed, plain := secured("named"), secured("unnamed"), serve("--skip-ssl")
	ca, wrong := "&ssl-ca="+url.QueryEscape(ours.file("ca.pem")), "&ssl-ca="+url.QueryEscape(others.file("ca.pem"))
	client := "&ssl-cert=" + url.QueryEscape(ours.file("client.pem")) + "&ssl-key=" + url.QueryEscape(ours.file("client.key"))

	o := newOne(t, named+"?ssl-mode=verify_identity"+ca, nil)
	o.exec("CREATE USER certified IDENTIFIED BY 'portico' REQUIRE X509")
	o.exec("GRANT ALL ON *.* TO certified")
	certified := strings.Replace(named, "portico:", "certified:", 1)

	var untrusted *tls.CertificateVerificationError
	for _, c := range []struct {
		url     string
		refused any // what the error is
		tls     bool
	}{
		{named + "?ssl-mode=disabled", nil, false},
		{named, nil, true},
		{named + "?ssl-mode=preferred", nil, true},
		{named + "?ssl-mode=required", nil, true},
		{named + "?ssl-mode=verify_ca" + ca, nil, true},
		{named + "?ssl-mode=verify_identity" + ca, nil, true},
		{named + "?ssl-mode=verify_ca" + wrong, &untrusted, false},
		{named + "?ssl-mode=verify_identity" + wrong, &untrusted, false},
		{named + "?ssl-mode=verify_identity", &untrusted, false}, // by the system's authorities
		{named + "?ssl-mode=verify_ca", &untrusted, false},
		{unnamed + "?ssl-mode=required", nil, true},
		{unnamed + "?ssl-mode=verify_ca" + ca, nil, true},
		{unnamed + "?ssl-mode=verify_identity" + ca, &untrusted, false},
		{plain, nil, false},
		{plain + "?ssl-mode=preferred", nil, false},
		{plain + "?ssl-mode=required", mysql.ErrNoTLS, false},
		{plain + "?ssl-mode=verify_identity" + ca, mysql.ErrNoTLS, false},
		{certified + "?ssl-mode=verify_identity" + ca + client, nil, true},
		{certified + "?ssl-mode=verify_identity" + ca, "Access denied", false},
	} {
		what := strings.ReplaceAll(c.url, ours.dir, "")
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		b, err := open(t.Context(), u, nil, store.DriverOptions{Logger: quiet})
		if err == nil {
			_ = b.Close()
		}
		switch want := c.refused.(type) {
		case nil:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			} else if got := newOne(t, c.url, nil).cipher(); (got != "") != c.tls {
				t.Errorf("%s: the cipher is %q", what, got)
			}
		case string:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		case error:
			if !errors.Is(err, want) || !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		default:
			if !errors.As(err, want) || !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v, want %T", what, err, want)
			}
		}
	}
}

// switchboard is an address behind which stands now one server, now another.
type switchboard struct{ target atomic.Pointer[string] }

func newSwitchboard(t *testing.T) (*switchboard, string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &switchboard{}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(context.Background(), "tcp", *s.target.Load())
			if err != nil {
				_ = client.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				}()
			}
		}
	}()
	return s, l.Addr().String()
}

// TestPreferredEachTime holds that a server without TLS does not make all later connections go without.
func TestPreferredEachTime(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", &x509.Certificate{})
	plain := engines.Start(t, engines.MariaDB, engines.Options{Fast: true, Args: []string{"--skip-ssl"}})
	secured := engines.Start(t, engines.MariaDB, engines.Options{Fast: true, Args: []string{"--ssl-cert=" + a.file("server.pem"), "--ssl-key=" + a.file("server.key")}})
	s, address := newSwitchboard(t)
	s.target.Store(&plain.Addr)
	o := newOne(t, strings.Replace(plain.URL, plain.Addr, address, 1)+"?ssl-mode=preferred", nil)
	o.db.DB.SetConnMaxLifetime(time.Nanosecond)
	if got := o.cipher(); got != "" {
		t.Errorf("the cipher of a server without TLS is %q", got)
	}
	s.target.Store(&secured.Addr)
	if got := o.cipher(); got == "" {
		t.Error("the server has TLS by now, and the connection goes without")
	}
}

func (o *one) cipher() string {
	o.t.Helper()
	var name, value string
	if err := o.db.DB.QueryRowContext(o.t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &value); err != nil {
		o.t.Fatal(err)
	}
	return value
}
