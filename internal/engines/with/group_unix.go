//go:build unix

package main

import (
	"os/exec"
	"syscall"
	"time"
)

// grace is how long a command may take to end after it was asked to.
const grace = 10 * time.Second

// group makes a command a process group of its own. All of it is asked to end when the command's context does, for go test
// passes no signal on to the tests, and is killed by end.
func group(c *exec.Cmd) (end func()) {
	signal := func(s syscall.Signal) error { return syscall.Kill(-c.Process.Pid, s) }
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return signal(syscall.SIGTERM) }
	c.WaitDelay = grace
	return func() {
		if c.Process != nil {
			_ = signal(syscall.SIGKILL)
		}
	}
}
