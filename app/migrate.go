package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
)

// migrations are the numbered changes of documents, each made once per database. Numbers only grow.
var migrations []migrate.Migration

// database is one opened database and the variable that names it.
type database struct {
	*store.Store
	variable string
	auto     bool // it is brought up to this release by whoever opens it
}

func (d database) migration(o options, report func(store.Progress)) migrate.Options {
	return migrate.Options{Store: d.Store, Migrations: migrations, Now: o.now, Report: report}
}

// upToDate brings a database up to this release where it may, and else refuses one that is behind.
func (d database) upToDate(ctx context.Context, o options) error {
	if d.auto {
		p := &progress{logger: o.logger}
		if err := migrate.Run(ctx, d.migration(o, p.report)); err != nil {
			return startFault("the database of "+d.variable+" cannot be brought up to this release", err)
		}
		return nil
	}
	return d.mustBeUpToDate(ctx, o)
}

func (d database) mustBeUpToDate(ctx context.Context, o options) error {
	steps, err := migrate.Behind(ctx, d.migration(o, nil))
	if err != nil {
		return startFault("the database of "+d.variable+" cannot be used", err)
	}
	if !steps.None() {
		return &startError{fmt.Errorf("the database of %s is not up to this release: run portico migrate (portico migrate --print shows what it does), or set PORTICO_AUTO_MIGRATE=true", d.variable)}
	}
	return nil
}

type migrateCommand struct {
	Print bool `help:"Print what would be done, and change nothing: of a SQL database its statements."`
}

// Run brings the databases of the configuration up to this release.
func (m migrateCommand) Run(ctx context.Context, opts []Option) (err error) {
	c, o, err := commandOptions(opts)
	if err != nil {
		return err
	}
	all, err := openDatabases(ctx, c, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(all)) }()
	if m.Print {
		for _, d := range all {
			if err := d.printSteps(ctx, o); err != nil {
				return startFault("the database of "+d.variable+" cannot be used", err)
			}
		}
		return nil
	}
	p := newProgress(os.Stderr)
	defer p.end()
	if err := migrateAll(ctx, all, o, p); err != nil {
		return err
	}
	p.end()
	for _, d := range all {
		fmt.Printf("the database of %s is up to this release\n", d.variable)
	}
	return nil
}

// migrateAll goes on where the database was away for a moment, as SQLite is while another process opens or closes it.
func migrateAll(ctx context.Context, all []database, o options, p *progress) error {
	for _, d := range all {
		if err := o.patiently(ctx, d.variable, func() error { return migrate.Run(ctx, d.migration(o, p.report)) }); err != nil {
			return startFault("the database of "+d.variable+" cannot be brought up to this release", err)
		}
	}
	return nil
}

// openMigrated opens the databases of the configuration, which must be up to this release.
func openMigrated(ctx context.Context, c Config, o options) ([]database, error) {
	all, err := openDatabases(ctx, c, o)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		if err := d.mustBeUpToDate(ctx, o); err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
	}
	return all, nil
}

func lastMigration() int {
	last := 0
	for _, m := range migrations {
		last = max(last, m.Number)
	}
	return last
}

func (d database) printSteps(ctx context.Context, o options) error {
	steps, err := migrate.Behind(ctx, d.migration(o, nil))
	if err != nil {
		return err
	}
	fmt.Printf("-- the database of %s: %d steps of structure, %d of documents\n", d.variable, len(steps.Structure), len(steps.Documents))
	for _, step := range steps.Structure {
		fmt.Println(step + ";")
	}
	for _, step := range steps.Documents {
		fmt.Println("-- " + step)
	}
	return nil
}

// commandOptions are what a command needs that works on the databases and serves nothing.
func commandOptions(opts []Option) (Config, options, error) {
	c, _, err := LoadConfig(os.Environ(), opts...)
	if err != nil {
		return c, options{}, err
	}
	return c, commandLogger(c, opts), nil
}

func commandLogger(c Config, opts []Option) options {
	o := newOptions(opts)
	if o.logger == nil {
		o.logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: max(c.LogLevel, slog.LevelWarn)}))
	}
	return o
}
