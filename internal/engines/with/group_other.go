//go:build !unix

package main

import "os/exec"

// group does nothing where there are no process groups.
func group(*exec.Cmd) (end func()) { return func() {} }
