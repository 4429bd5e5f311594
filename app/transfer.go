package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
	"github.com/portico-sso/portico/ports/store/transfer"
)

// secrecy is how an export is encrypted: by age (https://age-encryption.org/v1).
type secrecy struct {
	PassphraseFile string `type:"existingfile" placeholder:"FILE" help:"File with the passphrase that encrypts the export."`
}

func (s secrecy) passphrase() (string, error) {
	content, err := os.ReadFile(s.PassphraseFile)
	text := strings.TrimRight(string(content), "\r\n")
	if err == nil && text == "" {
		err = errors.New("the passphrase file is empty")
	}
	return text, err
}

type exportCommand struct {
	secrecy
	Out       string   `placeholder:"FILE" help:"Where to write; by default to standard output. A file that ended early (FILE.partial) is gone on with, unless it is encrypted."`
	Recipient []string `placeholder:"AGE1…" help:"Public keys that may decrypt the export (made by age-keygen)."`
}

// Run writes everything in the databases of the configuration as lines of JSON.
func (e exportCommand) Run(ctx context.Context, opts []Option) (err error) {
	recipients, err := e.recipients()
	if err != nil {
		return err
	}
	c, o, err := commandOptions(opts)
	if err != nil {
		return err
	}
	all, err := openMigrated(ctx, c, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(all)) }()
	if len(recipients) == 0 {
		fmt.Fprintln(os.Stderr, "the export holds keys and people's data in the clear; --recipient or --passphrase-file encrypts it")
	}
	p := newProgress(os.Stderr)
	defer p.end()
	export := &transfer.Export{Source: transfer.Source{Stores: storesOf(all), Report: p.report}, Migration: lastMigration()}
	contents, err := e.write(ctx, export, recipients)
	if err != nil {
		return startFault("the export is not whole", err)
	}
	p.end()
	printContents(os.Stderr, contents)
	return nil
}

func (e exportCommand) recipients() ([]age.Recipient, error) {
	var all []age.Recipient
	for _, text := range e.Recipient {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, fmt.Errorf("--recipient %s: %w", text, err)
		}
		all = append(all, r)
	}
	if e.PassphraseFile == "" {
		return all, nil
	}
	if len(all) > 0 {
		return nil, errors.New("give --recipient or --passphrase-file, not both")
	}
	text, err := e.passphrase()
	if err != nil {
		return nil, err
	}
	r, err := age.NewScryptRecipient(text)
	return []age.Recipient{r}, err
}

func (e exportCommand) write(ctx context.Context, export *transfer.Export, recipients []age.Recipient) (map[string]transfer.Content, error) {
	if e.Out == "" {
		return encrypted(os.Stdout, recipients, func(w io.Writer) (map[string]transfer.Content, error) { return export.Write(ctx, w) })
	}
	if _, err := os.Stat(e.Out); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there already: name another file", e.Out)
	}
	f, err := e.partial(export, len(recipients) == 0)
	if err != nil {
		return nil, err
	}
	contents, err := encrypted(f, recipients, func(w io.Writer) (map[string]transfer.Content, error) { return export.Write(ctx, w) })
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("%w; what is written stays in %s", err, f.Name())
	}
	return contents, os.Rename(f.Name(), e.Out)
}

// partial opens the file that an export is written to until it is whole, behind what an earlier one wrote.
func (e exportCommand) partial(export *transfer.Export, resume bool) (*os.File, error) {
	f, err := os.OpenFile(e.Out+".partial", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	whole := int64(0)
	if resume {
		if whole, err = export.Resume(f); err != nil {
			return nil, errors.Join(fmt.Errorf("%s cannot be gone on with (remove it to begin anew): %w", f.Name(), err), f.Close())
		}
	}
	if err := f.Truncate(whole); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(whole, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func encrypted(w io.Writer, recipients []age.Recipient, write func(io.Writer) (map[string]transfer.Content, error)) (map[string]transfer.Content, error) {
	if len(recipients) == 0 {
		return write(w)
	}
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return nil, err
	}
	contents, err := write(sealed)
	if err != nil {
		return nil, err
	}
	return contents, sealed.Close() // only a whole export gets its end
}

type importCommand struct {
	secrecy
	Identity string `type:"existingfile" placeholder:"FILE" help:"File with the secret key (of age-keygen) that decrypts the export."`
	File     string `arg:"" help:"The export; - is standard input."`
}

// Run reads an export into the databases of the configuration, which it brings up to this release first.
func (i importCommand) Run(ctx context.Context, opts []Option) (err error) {
	in := os.Stdin
	if i.File != "-" {
		if in, err = os.Open(i.File); err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
	}
	lines, err := i.decrypted(in)
	if err != nil {
		return err
	}
	c, o, err := commandOptions(opts)
	if err != nil {
		return err
	}
	all, err := openDatabases(ctx, c, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(all)) }()
	p := newProgress(os.Stderr)
	defer p.end()
	if err := migrateAll(ctx, all, o, p); err != nil {
		return err
	}
	contents, err := transfer.Import(ctx, lines, lastMigration(), transfer.Target{Stores: storesOf(all)}, p.report)
	if err != nil {
		return startFault("the import is not whole (run it again to go on)", err)
	}
	p.end()
	printContents(os.Stderr, contents)
	return nil
}

// decrypted reads a plain export, or one that age has encrypted, armored or not.
func (i importCommand) decrypted(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	start, _ := in.Peek(len(armor.Header))
	var sealed io.Reader
	switch {
	case string(start) == armor.Header:
		sealed = armor.NewReader(in)
	case strings.HasPrefix(string(start), "age-encryption.org/"):
		sealed = in
	default:
		return in, nil
	}
	identities, err := i.identities()
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(sealed, identities...)
	if err != nil {
		return nil, fmt.Errorf("the export cannot be decrypted: %w", err)
	}
	return plain, nil
}

func (i importCommand) identities() ([]age.Identity, error) {
	switch {
	case i.PassphraseFile != "":
		text, err := i.passphrase()
		if err != nil {
			return nil, err
		}
		id, err := age.NewScryptIdentity(text)
		return []age.Identity{id}, err
	case i.Identity != "":
		f, err := os.Open(i.Identity)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		return age.ParseIdentities(f)
	}
	return nil, errors.New("the export is encrypted: give --identity or --passphrase-file")
}

type copyCommand struct {
	From     string `required:"" placeholder:"URL" help:"Database to copy from."`
	To       string `required:"" placeholder:"URL" help:"Empty database to copy to; it is brought up to this release first."`
	Sessions string `enum:"with,without,only" default:"with" help:"What to copy: records with what PORTICO_SESSION_URL names (with), without it, or only it."`
}

// Run copies from one engine to the same or another. The encryption keys are those of the configuration, and for SQLite
// the file beside the database.
func (m copyCommand) Run(ctx context.Context, opts []Option) (err error) {
	if m.From == m.To {
		return errors.New("--from and --to name the same database")
	}
	c, o, err := copyOptions(opts)
	if err != nil {
		return err
	}
	from, err := m.open(ctx, c, o, "--from", m.From)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if err := from.mustBeUpToDate(ctx, o); err != nil {
		return err
	}
	to, err := m.open(ctx, c, o, "--to", m.To)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	p := newProgress(os.Stderr)
	defer p.end()
	if err := migrateAll(ctx, []database{to}, o, p); err != nil {
		return err
	}
	contents, err := transfer.Copy(ctx, transfer.Source{Stores: []*store.Store{from.Store}, Report: p.report},
		transfer.Target{Stores: []*store.Store{to.Store}})
	if err != nil {
		return startFault("the copy is not whole (run it again to go on)", err)
	}
	p.end()
	printContents(os.Stderr, contents)
	return nil
}

// copyOptions read the configuration for its keys alone: the databases are named by the command.
func copyOptions(opts []Option) (Config, options, error) {
	environ := slices.DeleteFunc(os.Environ(), func(line string) bool {
		return strings.HasPrefix(line, "PORTICO_DATABASE_URL") || strings.HasPrefix(line, "PORTICO_SESSION_URL")
	})
	c, _, err := LoadConfig(environ, opts...)
	return c, commandLogger(c, opts), err
}

func (m copyCommand) open(ctx context.Context, c Config, o options, flag, address string) (database, error) {
	schema := store.Schema{migrate.Collection()}
	if m.Sessions != "only" {
		schema = append(schema, recordSchema()...)
	}
	if m.Sessions != "without" {
		schema = append(schema, sessionSchema()...)
	}
	c.DatabaseURL = address
	given := c.EncryptionKeys
	c.EncryptionKeys = nil
	if path, ok := c.keyFile(); !ok || !exists(path) { // a SQLite file that has its own keys keeps to them
		c.EncryptionKeys = given
	}
	keyring, err := newKeyring(c)
	if err != nil {
		return database{}, err
	}
	return openDatabase(ctx, c, o, flag, address, schema, keyring)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// printContents tells what a move has moved, by collection.
func printContents(w io.Writer, contents map[string]transfer.Content) {
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		if contents[name].Count == 0 {
			continue
		}
		fmt.Fprintf(w, "%-20s %8d  %s\n", name, contents[name].Count, contents[name].Digest)
	}
}

func storesOf(all []database) []*store.Store {
	stores := make([]*store.Store, len(all))
	for i, d := range all {
		stores[i] = d.Store
	}
	return stores
}
