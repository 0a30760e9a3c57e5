//go:build !unix

package main

import "os/exec"

// isolate does nothing here.
func isolate(*exec.Cmd, bool) {}

// settle does nothing here.
func settle() {}
