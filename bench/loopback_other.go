//go:build !linux

package main

import (
	"errors"
	"syscall"
)

// ownNetwork does nothing here.
func ownNetwork(*syscall.SysProcAttr) {}

// enterLoopback fails: only Linux has networks of processes.
func enterLoopback([]string) error { return errors.ErrUnsupported }

// canIsolate is false here.
func canIsolate() bool { return false }
