package interop

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const aloneEnv = "CLOUDPAL_TEST_ALONE"

// alone runs the rest of a test in a process of its own whose network is only a
// loopback device, so that whatever swarms and DHT nodes do stays there. It
// returns true in that process. The test ends where it returns false.
//
//	if !alone(t) {
//		return
//	}
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) == t.Name() {
		run(t, "ip", "link", "set", "lo", "up")
		return true
	}
	args := []string{"-n", "--", os.Args[0], "-test.run=^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$", "-test.v", "-test.timeout=" + (10*time.Minute + *soakTime).String(), "-soak=" + soakTime.String(), "-spaces.full=" + strconv.FormatBool(*spacesFull)}
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), aloneEnv+"="+t.Name())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatalf("a network namespace of its own needs root and util-linux: %v", err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the test failed in its namespace: %v", err)
	}
	return false
}
