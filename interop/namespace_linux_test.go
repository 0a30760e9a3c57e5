package interop

import (
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// isolate moves the goroutine of the test into a network namespace with nothing
// but a loopback device. Sockets it opens and processes it starts are in there;
// other goroutines are not. The namespace goes away with the last of them.
func isolate(t testing.TB) {
	t.Helper()
	// Never unlocked: the thread ends with the goroutine.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Fatalf("a network namespace of its own needs root: %v", err)
	}
	run(t, "ip", "link", "set", "lo", "up")
}

// lose makes the namespace lose a percentage of all UDP packets.
func lose(t testing.TB, percent string) {
	t.Helper()
	run(t, "nft", "add", "table", "ip", "loss")
	run(t, "nft", "add", "chain", "ip", "loss", "in", "{ type filter hook input priority 0; }")
	run(t, "nft", "add", "rule", "ip", "loss", "in", "meta", "l4proto", "udp", "numgen", "random", "mod", "100", "<", percent, "drop")
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
