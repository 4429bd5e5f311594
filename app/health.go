package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

type healthCommand struct{}

func (healthCommand) Run(ctx context.Context) error { return health(ctx, os.Environ()) }

const healthTimeout = 5 * time.Second // more than /readyz gives the databases

// health asks the server of this environment whether it is ready. It reads no setting beside the address: a check that
// runs every few seconds in a container opens no key and no file of the server's.
func health(ctx context.Context, environ []string) error {
	var ours []string
	for _, line := range environ {
		if name, _, _ := strings.Cut(line, "="); strings.TrimSuffix(name, "_FILE") == "PORTICO_LISTEN" {
			ours = append(ours, line)
		}
	}
	c, _, err := LoadConfig(ours)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reach(c.Listen)+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy between us and ourselves
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	var said struct{ Status string }
	_ = json.NewDecoder(http.MaxBytesReader(nil, response.Body, 4<<10)).Decode(&said)
	return fmt.Errorf("the server is not ready: %s: %s", response.Status, said.Status)
}

// reach is an address of this machine for one to listen on: that of all networks is none to connect to everywhere.
func reach(listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip.IsUnspecified() && ip.Is4():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
