package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownNetwork makes a process start in a new network, which has only a loopback
// interface, so that nothing from outside and no firewall takes part.
func ownNetwork(a *syscall.SysProcAttr) { a.Cloneflags |= syscall.CLONE_NEWNET }

// enterLoopback brings the loopback interface up and becomes the program of the
// arguments. It runs in a new network.
func enterLoopback(argv []string) error {
	if len(argv) == 0 {
		return errors.New("no program given")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring loopback interface up: %w", err)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, argv, os.Environ())
}

// canIsolate tells whether programs can get a network of their own, which takes
// the rights of the administrator.
func canIsolate() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	cmd := exec.Command(self, loopbackCommand, "true")
	isolate(cmd, true)
	return cmd.Run() == nil
}
