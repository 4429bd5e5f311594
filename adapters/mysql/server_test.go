package mysql_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-sso/portico/adapters/mysql"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

// foreign are settings that an operator may have for other programs and that a session here must not depend on.
var foreign = map[engines.Engine][]string{
	engines.MariaDB: {
		"--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,IGNORE_SPACE,EMPTY_STRING_IS_NULL",
		"--character-set-server=latin1", "--collation-server=latin1_swedish_ci", "--skip-character-set-client-handshake",
		"--autocommit=0", "--transaction-isolation=SERIALIZABLE", "--innodb-default-row-format=compact",
		"--default-storage-engine=Aria", "--lc-messages=de_DE", "--lower-case-table-names=1", "--default-time-zone=+05:45",
		"--wait-timeout=30", "--innodb-lock-wait-timeout=1", "--innodb-rollback-on-timeout=1", "--binlog-format=MIXED", "--log-bin=log",
		"--innodb-snapshot-isolation=ON", // the default from MariaDB 11.6 on
	},
	engines.MySQL: {
		"--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,IGNORE_SPACE",
		"--character-set-server=latin1", "--collation-server=latin1_swedish_ci",
		"--autocommit=0", "--transaction-isolation=SERIALIZABLE", "--innodb-default-row-format=compact",
		"--default-storage-engine=MyISAM", "--default-time-zone=+05:45", "--wait-timeout=30", "--innodb-lock-wait-timeout=1",
	},
}

// TestForeignSettings runs the suite on servers that are set up for somebody else.
func TestForeignSettings(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			s := engines.Start(t, e, engines.Options{Fast: true, Args: foreign[e]})
			conformance(t, func(t *testing.T) string { return s.Fresh(t) })
			t.Run("widest", func(t *testing.T) { writeWidest(t, s.Fresh(t)) })
		})
	}
}

// TestPacket holds that a server whose packets are too small for the largest commit is refused, and that one with the
// least that is let through takes it.
func TestPacket(t *testing.T) {
	for prepared, least := range map[bool]int{true: 4<<20 + 64<<10, false: 8<<20 + 128<<10} {
		t.Run(fmt.Sprintf("prepared=%t", prepared), func(t *testing.T) {
			small := engines.Start(t, engines.MariaDB, engines.Options{Fast: true, Args: []string{fmt.Sprintf("--max-allowed-packet=%d", least-1024)}})
			u := with(t, small.URL, "prepared", fmt.Sprint(prepared))
			if _, err := open(t.Context(), t, u, things); err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "max_allowed_packet") {
				t.Errorf("too small a packet: %v", err)
			}
			enough := engines.Start(t, engines.MariaDB, engines.Options{Fast: true, Args: []string{fmt.Sprintf("--max-allowed-packet=%d", least)}})
			for _, c := range storetest.Cases() {
				if c.Name == "large_commits" {
					c.Run(t, opener(t, with(t, enough.Fresh(t), "prepared", fmt.Sprint(prepared))))
				}
			}
			s := openStore(t, with(t, enough.Fresh(t), "prepared", fmt.Sprint(prepared)), things)
			body := bytes.Repeat([]byte{0}, store.MaxCommitBytes-200) // a byte that is escaped
			d := store.Doc{ID: "1", Body: body, Keys: map[string]string{"name": strings.Repeat("'", 100)}}
			if err := s.Commit(t.Context(), store.Insert("things", d)); err != nil {
				t.Errorf("the largest commit: %v", err)
			}
			if got, err := s.Get(t.Context(), "things", "1"); err != nil || !bytes.Equal(got.Body, body) {
				t.Errorf("the largest body: %d bytes, %v", len(got.Body), err)
			}
		})
	}
}

var things = store.Schema{{Name: "things", Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}}}

// TestWarnings holds what an operator is warned of.
func TestWarnings(t *testing.T) {
	var log bytes.Buffer
	loud := store.DriverOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	visit := func(text string) string {
		t.Helper()
		log.Reset()
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		b, err := mysql.Driver.Open(t.Context(), u, things, loud)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		return log.String()
	}
	const flush = "innodb_flush_log_at_trx_commit"
	if got := visit(engines.Start(t, engines.MariaDB, engines.Options{}).URL); got != "" {
		t.Errorf("of a server as it should be: %s", got)
	}
	if got := visit(engines.Start(t, engines.MariaDB, engines.Options{Args: []string{"--" + strings.ReplaceAll(flush, "_", "-") + "=2"}}).URL); !strings.Contains(got, flush+"=2") {
		t.Errorf("of a server that acknowledges what is not on disk: %q", got)
	}
}
