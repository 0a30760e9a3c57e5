package cli

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestKilledGetGoesOnWhereItWas kills a get again and again, at any moment. What
// arrived before is not sent a second time, and the result is the same.
func TestKilledGetGoesOnWhereItWas(t *testing.T) {
	const (
		total = 192 << 20
		// inFlight is what may be under way when a get dies, and arrive for
		// nothing: in its buffers and those of the connection.
		inFlight = 16 << 20
		kills    = 6
	)
	src, homes, out := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "out")
	for name, size := range map[string]int{"large.bin": total / 2, "sub/second.bin": total / 4} {
		writeTestFile(t, filepath.Join(src, name), randomBytes(byte(len(name)), size))
	}
	for i := range 100 {
		writeTestFile(t, filepath.Join(src, "many", strconv.Itoa(i)), binary.LittleEndian.AppendUint32(randomBytes(99, total/400), uint32(i)))
	}
	share, err := startProcess(homeEnv(filepath.Join(homes, "one")), src, "share", src, "--listen", "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(share.kill)
	shared, err := share.event("shared")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"get", shared["link"].(string), out, "--peer", shared["listen"].([]any)[0].(string)}
	killed := 0
	for n := range kills {
		get, err := startProcess(homeEnv(filepath.Join(homes, "two")), homes, args...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(get.kill)
		// After a random number of reports and a random time; the first one at once, so
		// that one is killed however fast the machine is.
		for range min(n, rand.N(5)) {
			if _, err := get.event("progress"); err != nil {
				break
			}
		}
		time.Sleep(rand.N(100 * time.Millisecond)) // the moment is random, nothing waits for it
		if code, err := get.end(syscall.SIGKILL); err == nil && code == -1 {
			killed++
		}
	}
	get, err := startProcess(homeEnv(filepath.Join(homes, "two")), homes, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(get.kill)
	if _, err := get.event("got"); err != nil {
		t.Fatal(err)
	}
	if diff, err := compareTrees(src, out); err != nil || diff != "" {
		t.Errorf("%s, %v", diff, err)
	}
	// The last report comes a moment later.
	for share.sent < total {
		e, err := share.event("progress", `"phase":"serve"`)
		if err != nil {
			t.Fatalf("%d bytes were sent, fewer than there are: the figure is wrong: %v", share.sent, err)
		}
		share.sent = max(share.sent, uint64(e["bytes"].(float64)))
	}
	if code, err := share.end(syscall.SIGINT); err != nil || code != 0 {
		t.Errorf("share ends with %d, %v", code, err)
	}
	sent := share.sent
	t.Logf("killed %d times, sent %d of %d MiB", killed, sent>>20, total>>20)
	if limit := uint64(total + killed*inFlight); sent > limit {
		t.Errorf("%d bytes were sent, more than %d", sent, limit)
	}
	if killed == 0 {
		t.Error("no get was killed")
	}
}

func writeTestFile(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sentBytes returns what a line says about bytes sent to peers.
func sentBytes(line string) uint64 {
	var e struct {
		Type, Phase string
		Bytes       uint64
	}
	if json.Unmarshal([]byte(line), &e) != nil || e.Type != "progress" || e.Phase != "serve" {
		return 0
	}
	return e.Bytes
}
