package redis_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// authority signs certificates into a folder that the server's user may read and write.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	dir, err := os.MkdirTemp("", "redis-tls-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	a := &authority{t: t, dir: dir}
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.write("ca.pem", "CERTIFICATE", a.sign(a.cert, &a.key.PublicKey))
	return a
}

func (a *authority) sign(c *x509.Certificate, public *ecdsa.PublicKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, public, a.key)
	must(a.t, err)
	return der
}

func (a *authority) issue(name string, c x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	c.SerialNumber, c.NotAfter = big.NewInt(2), time.Now().Add(time.Hour)
	a.write(name+".pem", "CERTIFICATE", a.sign(&c, &key.PublicKey))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	a.write(name+".key", "PRIVATE KEY", der)
}

func (a *authority) write(name, kind string, der []byte) {
	must(a.t, os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644))
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// TestTLS opens a server that wants TLS and a client's certificate, with and without what each side asks for.
func TestTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"cache.example"}})
	a.issue("client", x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	addr := freeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	socket := a.path("redis.sock")
	server := start(t, engines.Redis, "--tls-port", port, "--tls-ca-cert-file", a.path("ca.pem"), "--tls-cert-file", a.path("server.pem"),
		"--tls-key-file", a.path("server.key"), "--unixsocket", socket, "--unixsocketperm", "777")
	client := []string{"cert_file", a.path("client.pem"), "key_file", a.path("client.key")}
	ca := []string{"ca_file", a.path("ca.pem")}
	for what, c := range map[string]struct {
		u    string
		want string
	}{
		"all":                            {with(t, "rediss://"+addr, append(ca, client...)...), ""},
		"another name of the server's":   {with(t, "rediss://"+addr, append(append(ca, client...), "server_name", "cache.example")...), ""},
		"not its name":                   {with(t, "rediss://"+addr, append(append(ca, client...), "server_name", "other.example")...), "other.example"},
		"not known":                      {with(t, "rediss://"+addr, client...), "certificate"},
		"not known, which is overlooked": {with(t, "rediss://"+addr, append(client, "skip_verify", "true")...), ""},
		"without the client's":           {with(t, "rediss://"+addr, ca...), "does not answer"}, // refused, or cut off,
		"without TLS":                    {"redis://" + addr, ""},
		"by the socket":                  {"redis+unix://" + socket + "?prefix=socket&db=1", ""},
	} {
		st, err := tryOpen(t, c.u, things)
		switch {
		case what == "without TLS":
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		case c.want != "":
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", what, err, c.want)
			}
		case err != nil:
			t.Errorf("%s: %v", what, err)
		default:
			id := thing(what)
			must(t, st.Commit(t.Context(), store.Insert("things", id)))
			if _, err := st.Get(t.Context(), "things", what); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	// Connections that the server has closed are noticed before a commit is sent on one of them.
	st := open(t, with(t, "rediss://"+addr, append(ca, client...)...), things)
	for i := range 3 {
		must(t, st.Commit(t.Context(), store.Insert("things", thing(fmt.Sprint(i)))))
		must(t, server.Restart())
	}
	count(t, st, "things", 0)
	var log bytes.Buffer
	u := parse(t, with(t, "rediss://"+addr, append(client, "skip_verify", "true")...))
	b, err := redis.Driver.Open(t.Context(), u, things, store.DriverOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	must(t, b.Close())
	if !strings.Contains(log.String(), "skip_verify is set") {
		t.Errorf("nothing is verified, and the log says: %s", log.String())
	}
}
