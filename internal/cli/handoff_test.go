package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestHandoffScripts runs two sides that find each other on the loopback interface.
func TestHandoffScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/handoff",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CLOUDPAL_HOME", e.WorkDir+"/home")
			e.Setenv("HERE", "--interface=lo")
			e.Setenv("LISTEN", "--listen=tcp://127.0.0.1:0")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"waitfor":  waitFor,
			"code":     readCode,
			"cable":    cable,
			"loopback": loopback,
			"longname": func(ts *testscript.TestScript, _ bool, args []string) {
				// longname VAR ENDING: as long as a name may be
				ts.Setenv(args[0], strings.Repeat("n", 255-len(args[1]))+args[1])
			},
		},
	})
}

const patienceOfTests = 2 * time.Minute

// waitFor waits until a file that matches a pattern has at least so many bytes:
// waitfor PATTERN BYTES.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	least, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	for until := time.Now().Add(patienceOfTests); ; time.Sleep(5 * time.Millisecond) {
		list, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		for _, p := range list {
			if info, err := os.Stat(p); err == nil && info.Size() >= least {
				return
			}
		}
		if time.Now().After(until) {
			ts.Fatalf("%s does not come", args[0])
		}
	}
}

// cable makes two network namespaces joined by a cable, and sets their names: cable
// VAR VAR.
func cable(ts *testscript.TestScript, _ bool, args []string) {
	run := func(args ...string) {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			ts.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	var spaces [2]string
	for i := range spaces {
		spaces[i] = fmt.Sprintf("handoff-%d-%d", os.Getpid(), i)
		run("netns", "add", spaces[i])
		ts.Defer(func() { _ = exec.Command("ip", "netns", "del", spaces[i]).Run() })
		ts.Setenv(args[i], spaces[i])
	}
	run("-n", spaces[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", spaces[1])
	for i, s := range spaces {
		run("-n", s, "link", "set", "lo", "up")
		run("-n", s, "addr", "add", fmt.Sprintf("10.78.0.%d/24", i+1), "dev", "cable")
		run("-n", s, "link", "set", "cable", "up")
	}
}

// readCode waits for the code that a command in the background writes to a file, and
// sets $CODE and $WRONG, another code of the same number: code FILE.
func readCode(ts *testscript.TestScript, _ bool, args []string) {
	waitFor(ts, false, []string{args[0], "10"})
	code, _, _ := strings.Cut(ts.ReadFile(args[0]), "\n")
	ts.Setenv("CODE", code)
	wrong := code[:4] + "-acorn-zebra"
	if wrong == code {
		wrong = code[:4] + "-zebra-acorn"
	}
	ts.Setenv("WRONG", wrong)
}
