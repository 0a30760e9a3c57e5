package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownNetwork makes a process start in a new network, which has only a loopback
// interface, so that nothing from outside and no firewall takes part.
func ownNetwork(a *syscall.SysProcAttr) { a.Cloneflags |= syscall.CLONE_NEWNET }

// enterLoopback brings the loopback interface up and becomes the program of the
// arguments. The first argument is the share of UDP packets that get lost, in
// percent. It runs in a new network.
func enterLoopback(args []string) error {
	if len(args) < 2 {
		return errors.New("no program given")
	}
	loss, argv := args[0], args[1:]
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
	if loss != "0" {
		if err := lose(loss); err != nil {
			return err
		}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, argv, os.Environ())
}

// lose makes this network drop a share of all UDP packets, chosen at random.
func lose(percent string) error {
	rules := exec.Command("nft", "-f", "-")
	rules.Stdin = strings.NewReader("table ip bench { chain input { type filter hook input priority 0; meta l4proto udp numgen random mod 100 < " + percent + " drop; }; }")
	if out, err := rules.CombinedOutput(); err != nil {
		return fmt.Errorf("make packets get lost with nft, from the package nftables: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// canIsolate tells whether programs can get a network of their own, which takes
// the rights of the administrator.
func canIsolate() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	cmd := exec.CommandContext(context.Background(), self, loopbackCommand, "0", "true")
	isolate(cmd, true)
	return cmd.Run() == nil
}
