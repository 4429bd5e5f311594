package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

type keysCommand struct {
	Make   makeKeyCommand    `cmd:"" help:"Make an encryption key and print it as an entry of PORTICO_ENCRYPTION_KEYS."`
	Rotate rotateKeysCommand `cmd:"" help:"Seal everything in the databases with the first encryption key, while instances serve; or make new signing keys."`
}

type makeKeyCommand struct {
	ID  string `default:"k1" help:"Name of the key; each key needs its own."`
	KMS string `placeholder:"URI" help:"Key of a key management service that wraps it."`
}

func (m makeKeyCommand) Run(opts []Option) error {
	if m.ID == "" || len(m.ID) > 255 || strings.ContainsAny(m.ID, ":, \t\r\n") {
		return errors.New("an id has 1 to 255 bytes, without colon, comma and white space")
	}
	k := keyNamed(m.ID)
	entry := encodeKeys(k)
	if m.KMS != "" {
		var err error
		if entry, err = wrap(k, m.KMS, newOptions(opts).kms); err != nil {
			return err
		}
	}
	fmt.Print(entry)
	return nil
}

type rotateKeysCommand struct {
	What   string `arg:"" optional:"" default:"encryption" enum:"encryption,signing" help:"encryption (by default), or signing: the keys of id tokens."`
	Finish bool   `help:"encryption: make no new key in the key file beside SQLite; seal what an earlier run left."`
	Now    bool   `help:"signing: use the new keys at once, as when the present ones are known to others; clients that keep the key set refuse tokens until they read it anew."`
}

// Run seals with the first key what another has sealed. A key file beside an embedded database gets a new key first;
// instances that serve read the file when they meet it.
func (r rotateKeysCommand) Run(ctx context.Context, opts []Option) error {
	c, o, err := commandOptions(opts)
	if err != nil {
		return err
	}
	if r.What == "signing" {
		return r.signing(ctx, c, o)
	}
	if !r.Finish {
		if err := rotateKeyFile(c); err != nil {
			return err
		}
	}
	stale, err := reseal(ctx, c, o)
	if err != nil {
		return err
	}
	if stale == 0 {
		fmt.Println("Everything is sealed with the first key. Others may be removed. To rotate, put a new key before it in\n" +
			"PORTICO_ENCRYPTION_KEYS: first behind it, so that each instance knows it before one seals with it.")
		return nil
	}
	fmt.Printf("%d documents are sealed anew with the first key. Before you remove older keys, run portico keys rotate --finish:\n"+
		"an instance that had not met the new key may have sealed something meanwhile.\n", stale)
	return nil
}

// signing makes new signing keys, which are published before they are used, and the last ones kept until their tokens end.
func (r rotateKeysCommand) signing(ctx context.Context, c Config, o options) (err error) {
	all, err := openMigrated(ctx, c, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(all)) }()
	at := o.now()
	if !r.Now {
		at = at.Add(keypair.PublishAhead)
	}
	keys := keypair.NewSigning(all[0].Store, id.Source{Now: o.now, Rand: rand.Reader})
	if err := keys.Start(ctx); err != nil {
		return err
	}
	made, err := keys.Rotate(ctx, at)
	if err != nil {
		return startFault("the signing keys are not rotated", err)
	}
	for _, name := range made {
		fmt.Println(name)
	}
	fmt.Printf("They sign from %s on; instances that serve see them within a minute.\n", at.UTC().Format(time.RFC3339))
	return nil
}

// rotateKeyFile puts a new key before those of the file beside an embedded database.
func rotateKeyFile(c Config) error {
	path, ok := c.keyFile()
	if !ok {
		return nil
	}
	keys, err := readKeyFile(path)
	if err != nil {
		return err
	}
	next := keyNamed(nextID(keys))
	return writeFile(path, encodeKeys(append([]seal.Key{next}, keys...)...), os.Rename)
}

// nextID is k1, k2 and so on: the first that no key has.
func nextID(keys []seal.Key) string {
	used := map[string]bool{}
	for _, k := range keys {
		used[k.ID] = true
	}
	for n := 1; ; n++ {
		if name := fmt.Sprintf("k%d", n); !used[name] {
			return name
		}
	}
}

const resealPage = 500

// reseal goes over all databases until a whole round finds nothing stale, and says how many documents were.
func reseal(ctx context.Context, c Config, o options) (stale int, err error) {
	all, err := openMigrated(ctx, c, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closeAll(all)) }()
	p := newProgress(os.Stderr)
	defer p.end()
	for _, d := range all {
		for {
			n, err := d.reseal(ctx, p)
			stale += n
			if err != nil {
				return stale, startFault("the database of "+d.variable+" cannot be sealed anew", err)
			}
			if n == 0 {
				break
			}
		}
	}
	return stale, nil
}

// reseal is one round over one database.
func (d database) reseal(ctx context.Context, p *progress) (stale int, err error) {
	for _, c := range d.Schema() {
		if !c.Sealed {
			continue
		}
		step := store.Progress{Step: "sealing " + c.Name + " anew"}
		for after := ""; ; {
			page, err := d.Reseal(ctx, c.Name, after, resealPage)
			stale += page.Stale
			if err != nil {
				return stale, err
			}
			step.Done += int64(page.Read)
			p.report(step)
			if after = page.After; after == "" {
				break
			}
		}
	}
	return stale, nil
}
