package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Servers refuse to run as root, and nobody owns nothing else here.
const serverUser = "nobody"

// confine makes a command a process group of its own that dies with this process, in the folder root as its /, and as
// nobody if we are root.
func confine(c *exec.Cmd, root string) error {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Chroot: root}
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := nobody()
	c.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	return err
}

// dieWithUs makes a command die with this process.
func dieWithUs(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// outliveUs keeps signals that are meant for us, such as a terminal's, from a command that should not stop half-way.
func outliveUs(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func nobody() (uid, gid uint32, err error) {
	u, err := user.Lookup(serverUser)
	if err != nil {
		return 0, 0, err
	}
	id, err1 := strconv.ParseUint(u.Uid, 10, 32)
	group, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(id), uint32(group), errors.Join(err1, err2)
}

// own gives a file to the user that servers run as.
func own(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := nobody()
	if err != nil {
		return err
	}
	return os.Chown(path, int(uid), int(gid))
}

// starts runs functions on one thread that never ends: the kernel sends Pdeathsig when the starting thread dies.
var starts = func() chan func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range queue {
			f()
		}
	}()
	return queue
}()

func startProcess(c *exec.Cmd) error {
	started := make(chan error)
	starts <- func() { started <- c.Start() }
	return <-started
}

// signalTree signals a process, its group and its descendants: PostgreSQL's are groups of their own.
func signalTree(p *os.Process, s syscall.Signal) error {
	below := descendants(p.Pid)
	err := syscall.Kill(-p.Pid, s)
	for _, pid := range below {
		_ = syscall.Kill(pid, s) // it may just have ended
	}
	return err
}

// descendants are the processes that a process started, and so on.
func descendants(pid int) (found []int) {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, _ := os.ReadFile(filepath.Clean(path))
		_, rest, _ := strings.Cut(string(text), ") ") // the name before may hold anything
		if fields := strings.Fields(rest); len(fields) > 1 {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], child)
		}
	}
	for next := children[pid]; len(next) > 0; {
		first := next[0]
		found = append(found, first)
		next = append(next[1:], children[first]...)
	}
	return found
}

// kill ends a process and all that it started. It is stopped first: what it started meanwhile would live on, and a PostgreSQL
// backend without its server may wait for ever.
func kill(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for range 1000 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
		_, state, _ := strings.Cut(string(text), ") ")
		if err != nil || strings.HasPrefix(state, "T") || strings.HasPrefix(state, "Z") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return signalTree(p, syscall.SIGKILL)
}

func pause(p *os.Process) error     { return signalTree(p, syscall.SIGSTOP) }
func resume(p *os.Process) error    { return signalTree(p, syscall.SIGCONT) }
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
func quit(p *os.Process) error      { return p.Signal(syscall.SIGQUIT) }
func interrupt(p *os.Process) error { return p.Signal(syscall.SIGINT) }

// makeDevices makes the devices that servers need.
func makeDevices(folder string) error {
	for name, minor := range map[string]int{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		path := filepath.Join(folder, name)
		if err := syscall.Mknod(path, syscall.S_IFCHR|0o666, 1<<8|minor); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
		if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // these are for everybody
			return err
		}
	}
	return nil
}

// releaseMemory removes the shared memory that a killed PostgreSQL leaves behind; its id ends a line of postmaster.pid.
func releaseMemory(pidFile string) {
	text, _ := os.ReadFile(filepath.Clean(pidFile))
	lines := strings.Split(string(text), "\n")
	if len(lines) < 7 {
		return
	}
	if fields := strings.Fields(lines[6]); len(fields) == 2 {
		_ = exec.Command("ipcrm", "-m", fields[1]).Run() //nolint:noctx // an instant; after an orderly end there is none
	}
}

// tryLock takes a lock on a file that ends with this process.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
