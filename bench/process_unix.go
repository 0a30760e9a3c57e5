//go:build unix

package main

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate puts cmd into a process group of its own, which ends with it, and,
// if it is asked to, into a network of its own.
func isolate(cmd *exec.Cmd, network bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if network {
		ownNetwork(cmd.SysProcAttr)
	}
}

// settle writes what earlier programs left in memory to the disk, so that the
// next one does not pay for it.
func settle() { unix.Sync() }
