//go:build !linux

package engines

import (
	"errors"
	"os"
	"os/exec"
)

// Other systems have no signal for children whose parent died: there, killing the tests with SIGKILL leaves servers behind.

func confine(_ *exec.Cmd, root string) error {
	if root != "" {
		return errors.ErrUnsupported
	}
	return nil
}

func dieWithUs(*exec.Cmd)            {}
func outliveUs(*exec.Cmd)            {}
func makeDevices(string) error       { return errors.ErrUnsupported }
func releaseMemory(string)           {}
func own(string) error               { return nil }
func startProcess(c *exec.Cmd) error { return c.Start() }
func kill(p *os.Process) error       { return p.Kill() }
func pause(*os.Process) error        { return errors.ErrUnsupported }
func resume(*os.Process) error       { return errors.ErrUnsupported }
func terminate(p *os.Process) error  { return p.Signal(os.Interrupt) }
func quit(p *os.Process) error       { return p.Signal(os.Interrupt) }
func interrupt(p *os.Process) error  { return p.Signal(os.Interrupt) }
func tryLock(*os.File) bool          { return false }
