package engines

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// StartGalera runs a MariaDB cluster of so many nodes, each of which takes reads and writes, and ends it with the test. A
// node that was killed joins again by Restart as long as another lives. The others go on without it after about 2 s.
// Reads see what other nodes acknowledged only in sessions with wsrep_sync_wait. Without MariaDB and Galera on this machine
// it skips the test, or fails it where PORTICO_TEST_REQUIRE=1.
func StartGalera(t testing.TB, nodes int, o Options) []*Server {
	t.Helper()
	p, err := find(MariaDB)
	library, ok := galeraLibrary()
	if err == nil && !ok {
		err = errors.New("Galera is not installed")
	}
	if err != nil {
		missing(t, MariaDB, err.Error())
	}
	cluster, err := startGalera(t.Context(), p, library, nodes, o)
	t.Cleanup(func() {
		for _, s := range cluster {
			s.finish(t)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// startGalera makes the nodes and starts them one after the other: a joining node copies the data of one that runs.
func startGalera(ctx context.Context, p program, library string, nodes int, o Options) (cluster []*Server, err error) {
	name := randomName()
	var peers []string
	for range nodes {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		peers = append(peers, net.JoinHostPort(loopback, port))
	}
	for i := range nodes {
		s, err := prepare(ctx, MariaDB, p, o, i == 0)
		if err != nil {
			return cluster, err
		}
		cluster = append(cluster, s)
		if s.extra, err = galeraArguments(s, library, name, peers, i); err != nil {
			return cluster, err
		}
		if err := s.begin(i == 0); err != nil {
			return cluster, err
		}
	}
	return cluster, nil
}

// begin starts a node for the first time; the first node founds the cluster.
func (s *Server) begin(first bool) error {
	member := s.extra
	if first {
		s.extra = append(member[:len(member):len(member)], "--wsrep-new-cluster")
	}
	err := s.Restart()
	s.extra = member
	return err
}

func galeraArguments(s *Server, library, name string, peers []string, i int) ([]string, error) {
	transfer, err1 := freePort()
	increments, err2 := freePort()
	provider := []string{
		"gmcast.listen_addr=tcp://" + peers[i], "ist.recv_addr=" + net.JoinHostPort(loopback, increments),
		"evs.keepalive_period=PT0.5S", "evs.suspect_timeout=PT2S", "evs.inactive_timeout=PT6S",
		"gcache.size=32M", "gcache.dir=" + s.home.at(dataName),
	}
	return []string{
		"--wsrep-on=ON", "--wsrep-provider=" + library, "--wsrep-cluster-name=" + name, fmt.Sprintf("--wsrep-node-name=node%d", i+1),
		"--wsrep-cluster-address=gcomm://" + strings.Join(peers, ","), "--wsrep-node-address=" + peers[i],
		"--wsrep-provider-options=" + strings.Join(provider, ";"), "--wsrep-slave-threads=4",
		"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=" + net.JoinHostPort(loopback, transfer),
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
	}, errors.Join(err1, err2)
}
