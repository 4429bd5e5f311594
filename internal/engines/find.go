package engines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is an engine's programs, as paths from its root.
type program struct {
	root   string // "" is this machine; else a folder with another Debian in it, which the programs see as /
	server string
	create string // makes a data folder; "" where the server itself does
}

// command runs a program in the engine's root, as a user that is not root, so that it dies with this process.
func (p program) command(ctx context.Context, path string, args ...string) (*exec.Cmd, error) {
	c := exec.CommandContext(ctx, path, args...)
	c.Dir = "/"
	c.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "HOME=/nonexistent", "TMPDIR=/tmp"}
	if p.root == "" {
		c.Env = append(c.Env, "PATH="+os.Getenv("PATH"))
	}
	return c, confine(c, p.root)
}

// runIn runs a program of the engine to its end and reports what it printed if it fails.
func (p program) runIn(ctx context.Context, path string, args ...string) error {
	c, err := p.command(ctx, path, args...)
	if err != nil {
		return err
	}
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	if err := startProcess(c); err != nil {
		return err
	}
	if err := c.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", path, err, out.String())
	}
	return nil
}

// find is where an engine's programs are on this machine.
func find(e Engine) (program, error) {
	var p program
	var ok bool
	switch e {
	case Postgres:
		p, ok = findPostgres("", "*")
	case MariaDB:
		p, ok = findMariaDB()
	case Redis:
		p.server, ok = look("redis-server")
	case Mongo:
		return p, errors.New("tests start no MongoDB; name one by " + Mongo.Variable())
	default:
		p, ok = findInSid(e)
	}
	if !ok {
		return p, errors.New("it is not installed; `go run ./internal/engines/with -install` installs it on Debian as root")
	}
	return p, nil
}

func findPostgres(root, version string) (program, bool) {
	found, _ := filepath.Glob(root + "/usr/lib/postgresql/" + version + "/bin/postgres")
	slices.Sort(found)
	if len(found) > 0 {
		server := strings.TrimPrefix(found[len(found)-1], root)
		return program{root: root, server: server, create: filepath.Join(filepath.Dir(server), "initdb")}, true
	}
	if root != "" {
		return program{}, false
	}
	server, ok1 := look("postgres")
	create, ok2 := look("initdb")
	return program{server: server, create: create}, ok1 && ok2
}

func findMariaDB() (program, bool) {
	server, ok1 := look("mariadbd")
	create, ok2 := look("mariadb-install-db")
	return program{server: server, create: create}, ok1 && ok2
}

// sidEngines are those that Debian's stable releases lack, or have in an older version.
var sidEngines = []Engine{Postgres18, MySQL, Valkey}

func (e Engine) fromSid() bool { return slices.Contains(sidEngines, e) }

// findInSid finds what comes from the folder of Debian sid, or from this machine if it has it.
func findInSid(e Engine) (program, bool) {
	switch e {
	case Postgres18:
		if p, ok := findPostgres("", "18"); ok && strings.Contains(p.server, "/18/") {
			return p, true
		}
	case Valkey:
		if server, ok := look("valkey-server"); ok {
			return program{server: server}, true
		}
	}
	root, whole := sidRoot()
	if !whole {
		return program{}, false
	}
	return programInSid(e, root)
}

func programInSid(e Engine, root string) (program, bool) {
	switch e {
	case Postgres18:
		return findPostgres(root, "18")
	case MySQL:
		return existing(program{root: root, server: "/usr/sbin/mysqld"})
	default:
		return existing(program{root: root, server: "/usr/bin/valkey-server"})
	}
}

func existing(p program) (program, bool) {
	_, err := os.Stat(p.root + p.server)
	return p, err == nil
}

// galeraLibrary is what makes a cluster of MariaDB servers.
func galeraLibrary() (string, bool) {
	for _, folder := range []string{"/usr/lib/galera", "/usr/lib64/galera", "/usr/lib64/galera-4"} {
		path := filepath.Join(folder, "libgalera_smm.so")
		if _, err := os.Stat(path); err == nil {
			return path, true
		}
	}
	return "", false
}

// look finds a program in the path and in the folders for administrators, which are not in everyone's path.
func look(name string) (string, bool) {
	if path, err := exec.LookPath(name); err == nil {
		path, err = filepath.Abs(path)
		return path, err == nil
	}
	for _, folder := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, true
		}
	}
	return "", false
}

// cacheDir is .cache/engines of the checkout, which git ignores and Go does not look into.
func cacheDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".cache", "engines"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory")
		}
	}
}

// sidRoot is the folder of Debian sid, and whether it is whole.
func sidRoot() (string, bool) {
	cache, err := cacheDir()
	if err != nil || os.Geteuid() != 0 { // only root may chroot
		return "", false
	}
	root := filepath.Join(cache, "sid")
	packages, err := os.ReadFile(filepath.Clean(filepath.Join(root, wholeMark)))
	return root, err == nil && string(packages) == sidPackages
}

// wholeMark is the file in the folder of Debian sid that is written last: for which packages it was made.
const wholeMark = ".portico-whole"
