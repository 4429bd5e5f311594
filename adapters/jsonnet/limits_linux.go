package jsonnet

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// growth is the address space that a worker may take beyond what it has at its start. The runtime takes it in large pieces of
// which it uses a part, so this is wider than maxMemory, which is judged by what is used.
const growth = shadow * 512 << 20

// limit has the kernel hold what this process may take: address space, CPU time, no file opened or written, no core. Before,
// it closes what it inherited beside its standard files.
func limit() error {
	if err := closeInherited(); err != nil {
		return err
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	pages, err := strconv.ParseUint(string(bytes.Fields(statm)[0]), 10, 64)
	if err != nil {
		return err
	}
	set := func(resource int, most uint64) error {
		return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: most, Max: most})
	}
	return errors.Join(
		set(syscall.RLIMIT_AS, pages*uint64(os.Getpagesize())+growth),
		set(syscall.RLIMIT_CPU, maxCPU),
		set(syscall.RLIMIT_NOFILE, 0),
		set(syscall.RLIMIT_FSIZE, 0),
		set(syscall.RLIMIT_CORE, 0),
	)
}

func closeInherited() error {
	const folder = "/proc/self/fd/"
	open, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range open {
		fd, err := strconv.Atoi(entry.Name())
		target, gone := os.Readlink(folder + entry.Name())
		if err == nil && gone == nil && fd > syscall.Stderr && !ofTheRuntime(target) {
			_ = syscall.Close(fd) // it is not needed
		}
	}
	return nil
}

// ofTheRuntime reports whether Go's runtime has a file open by itself: to wait for others, and to read the CPUs it may use.
func ofTheRuntime(target string) bool {
	return strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/sys/fs/cgroup/")
}
