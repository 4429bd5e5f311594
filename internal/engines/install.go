package engines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Say prints a line of progress.
type Say func(format string, args ...any)

// Install brings engines that are missing onto a Debian machine, as root: PostgreSQL with PgBouncer, MariaDB with Galera,
// and Redis as packages, without starting their services; MySQL, PostgreSQL 18 and Valkey, which stable releases lack, into a folder of
// Debian sid under .cache/engines, with Docker Compose. Where all is there it takes no time. On other machines it does nothing.
func Install(ctx context.Context, say Say, wanted []Engine) error {
	if !onDebianAsRoot() {
		return nil
	}
	unlock, err := lockInstall(ctx, say)
	if err != nil {
		return err
	}
	defer unlock()
	err = installPackages(ctx, say, missingPackages(wanted))
	if slices.ContainsFunc(wanted, Engine.fromSid) {
		err = errors.Join(err, installSid(ctx, say))
	}
	return err
}

func onDebianAsRoot() bool {
	_, apt := look("apt-get")
	return runtime.GOOS == "linux" && os.Geteuid() == 0 && apt
}

// lockInstall waits for another process that installs, such as a run of the same tests that has just begun.
func lockInstall(ctx context.Context, say Say) (unlock func(), err error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // servers that are not root look into it
		return nil, err
	}
	f, err := os.OpenFile(filepath.Clean(filepath.Join(cache, "lock")), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = f.Close() }
	for told := false; !tryLock(f); told = true {
		if !told {
			say("waiting for another process that installs")
		}
		select {
		case <-ctx.Done():
			unlock()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return unlock, nil
}

// missingPackages are those to install for these engines.
func missingPackages(wanted []Engine) (names []string) {
	need := func(e Engine, there bool, name string) {
		if slices.Contains(wanted, e) && !there && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	there := func(program string) bool { _, ok := look(program); return ok }
	_, postgres := findPostgres("", "*")
	_, galera := galeraLibrary()
	need(Postgres, postgres, "postgresql")
	need(Postgres, there("pgbouncer"), "pgbouncer")
	need(MariaDB, galera, "galera-4")
	need(MariaDB, there("mariadbd") && there("wsrep_sst_rsync"), "mariadb-server")
	need(MariaDB, there("rsync"), "rsync")
	need(Redis, there("redis-server"), "redis-server")
	for _, e := range wanted {
		need(e, !e.fromSid() || there("debootstrap"), "debootstrap")
	}
	return names
}

func installPackages(ctx context.Context, say Say, names []string) error {
	if len(names) == 0 {
		return nil
	}
	done := saying(say, "installing %s", strings.Join(names, " "))
	defer done()
	allow, err := forbidServices()
	if err != nil {
		return err
	}
	defer allow()
	ctx = context.WithoutCancel(ctx) // dpkg stopped half-way would ask for repair
	install := append([]string{"install", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"}, names...)
	if run(ctx, outliveUs, "apt-get", install...) == nil {
		return nil
	}
	if err := run(ctx, outliveUs, "apt-get", "update", "-q"); err != nil { // the lists were missing or old
		return err
	}
	return run(ctx, outliveUs, "apt-get", install...)
}

// forbidServices keeps the packages from starting their services, as invoke-rc.d(8) says.
func forbidServices() (allow func(), err error) {
	const path, script = "/usr/sbin/policy-rc.d", "#!/bin/sh\n# Portico's tests install servers without starting them.\nexit 101\n"
	if text, err := os.ReadFile(path); err == nil && string(text) != script { // somebody else's, likely of the same intent
		return func() {}, nil
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil { //nolint:gosec // a script that all may run
		return nil, err
	}
	return func() { _ = os.Remove(path) }, nil
}

// sidPackages are what the folder is made for; debootstrap adds what they need and a minimal system. Docker Compose is
// there to read our compose files, for which it needs no Docker.
const sidPackages = "mysql-server-core,postgresql-18,valkey-server,docker-compose"

// installSid makes the folder of Debian sid. Its packages are unpacked, not installed: none of their scripts runs, and
// nothing is mounted. A folder that a stopped process left half made, that was made for other packages, or whose programs do
// not run, is made again.
func installSid(ctx context.Context, say Say) error {
	root, whole := sidRoot()
	if whole && checkSid(ctx, root) == nil {
		return nil
	}
	done := saying(say, "making a folder of Debian sid with %s", strings.ReplaceAll(sidPackages, ",", " "))
	defer done()
	half := root + ".half"
	if err := errors.Join(os.RemoveAll(root), os.RemoveAll(half)); err != nil {
		return err
	}
	mirror, err := debianMirror(ctx)
	if err != nil {
		return err
	}
	if err := run(ctx, dieWithUs, "debootstrap", "--download-only", "--force-check-gpg", "--variant=minbase", "--include="+sidPackages,
		"sid", half, mirror); err != nil {
		return err
	}
	if err := unpackSid(ctx, half); err != nil {
		return err
	}
	if err := checkSid(ctx, half); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(half, wholeMark), []byte(sidPackages), 0o600); err != nil {
		return err
	}
	return os.Rename(half, root)
}

// debianMirror is where this machine gets Debian from.
func debianMirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)",
		"Created-By: Packages", "Origin: Debian", "Label: Debian").Output()
	mirror, _, _ := strings.Cut(string(out), "\n")
	if err == nil && mirror == "" {
		err = errors.New("apt knows no Debian mirror")
	}
	return mirror, err
}

func unpackSid(ctx context.Context, root string) error {
	archives := filepath.Join(root, "var/cache/apt/archives")
	first, _ := filepath.Glob(filepath.Join(archives, "base-files_*.deb")) // it makes /bin and others links into /usr
	all, _ := filepath.Glob(filepath.Join(archives, "*.deb"))
	if len(first) != 1 {
		return fmt.Errorf("debootstrap brought %d packages and no base-files", len(all))
	}
	if err := run(ctx, dieWithUs, "dpkg-deb", "-x", first[0], root); err != nil {
		return err
	}
	if err := unpackAll(ctx, all, root); err != nil {
		return err
	}
	for _, name := range []string{"passwd", "group"} { // base-passwd's script would do this
		text, err := os.ReadFile(filepath.Clean(filepath.Join(root, "usr/share/base-passwd", name+".master")))
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "etc", name), text, 0o644) //nolint:gosec // everybody reads it
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(makeDevices(filepath.Join(root, "dev")), os.RemoveAll(archives))
}

func unpackAll(ctx context.Context, archives []string, root string) error {
	queue := make(chan string, len(archives))
	for _, a := range archives {
		queue <- a
	}
	close(queue)
	errs := make([]error, runtime.NumCPU())
	var working sync.WaitGroup
	for i := range errs {
		working.Go(func() {
			for a := range queue {
				if errs[i] = run(ctx, dieWithUs, "dpkg-deb", "-x", a, root); errs[i] != nil {
					return
				}
			}
		})
	}
	working.Wait()
	return errors.Join(errs...)
}

// checkSid says whether the folder's programs run.
func checkSid(ctx context.Context, root string) error {
	for _, e := range sidEngines {
		p, ok := programInSid(e, root)
		if !ok {
			return fmt.Errorf("%s is not in %s", e, root)
		}
		if err := p.runIn(ctx, p.server, "--version"); err != nil {
			return err
		}
	}
	return nil
}

// run runs a program of this machine to its end and reports the end of what it printed if it fails; attach says what
// becomes of it when this process ends before it.
func run(ctx context.Context, attach func(*exec.Cmd), name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.WaitDelay = time.Second
	attach(c)
	if err := startProcess(c); err != nil {
		return err
	}
	if err := c.Wait(); err != nil {
		text := out.String()
		return fmt.Errorf("%s: %w\n%s", name, err, text[max(0, len(text)-2000):])
	}
	return nil
}

// saying says what begins and, by the function it returns, how long it took.
func saying(say Say, format string, args ...any) (done func()) {
	what, begun := fmt.Sprintf(format, args...), time.Now()
	say("%s …", what)
	return func() { say("%s took %.1f s", what, time.Since(begun).Seconds()) }
}
