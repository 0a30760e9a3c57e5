package interop

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// spacesFull makes the tests of spaces as large as the goals are stated for.
var spacesFull = flag.Bool("spaces.full", false, "tests of spaces with 100,000 files, and with a file of 5 GB, which takes 30 GB of disk")

// marker says which folder a folder is. It is the only file that differs.
const marker = ".cloudpal-folder"

// keeper is a machine with a node, and a folder that it keeps equal with the space "family".
type keeper struct {
	b             *bench
	machine, wire string // its name; the bridge's end of its cable
	home, dir     string
	args          []string // of "cloudpal up"
	node          *Node
}

// twoKeepers makes two machines of two people with a space in common, and an empty folder on
// each. Nothing keeps the folders equal before [keeper.sync]. The test must be alone.
func twoKeepers(t *testing.T) (one, two *keeper) {
	t.Helper()
	for _, judge := range []string{"rsync", "diff"} {
		if _, err := exec.LookPath(judge); err != nil {
			t.Fatalf("the folders are compared by %s, which is not installed: %v", judge, err)
		}
	}
	b := newBench(t)
	root := t.TempDir()
	make := func(name string) *keeper {
		s := &keeper{b: b, machine: b.machine(), home: filepath.Join(root, name, "home"), dir: filepath.Join(root, name, "folder")}
		s.wire = fmt.Sprintf("veth%d", len(b.names))
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s.run("identity", "new", "--protect", "plain")
		return s
	}
	one, two = make("one"), make("two")
	const address = "tcp://10.77.0.2:4977"
	one.args, two.args = []string{"--listen", address}, []string{"--peer", address}
	one.run("space", "create", "family")
	one.up()
	invite := one.run("space", "invite", "family", "--role", "editor", "--no-wait", "--quiet")
	two.run("join", strings.TrimSpace(invite[strings.Index(invite, "cloudpal://"):]), "--peer", address, "--name", "family")
	two.up()
	return one, two
}

// up starts the node.
func (s *keeper) up() {
	s.b.t.Helper()
	s.node = s.b.cloudpal(s.machine, s.home, "none", append([]string{"up"}, s.args...)...)
	s.node.said(s.b.t, "up")
}

// run runs another command there, which must end well, and returns what it prints.
func (s *keeper) run(args ...string) string {
	s.b.t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", s.machine, s.b.binary}, args...)...)
	cmd.Env = append(os.Environ(), "CLOUDPAL_HOME="+s.home, "CLOUDPAL_BOOTSTRAP=none")
	cmd.Dir = filepath.Dir(s.dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.b.t.Fatalf("cloudpal %q on %s: %v\n%s%s", args, s.machine, err, out, &stderr)
	}
	return string(out)
}

func (s *keeper) sync() { s.b.t.Helper(); s.run("sync", s.dir, "--space", "family") }

// unplug takes the network away, plug brings it back.
func (s *keeper) unplug() { run(s.b.t, "ip", "link", "set", s.wire, "down") }
func (s *keeper) plug()   { run(s.b.t, "ip", "link", "set", s.wire, "up") }

// path is that of a file in the folder.
func (s *keeper) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *keeper) write(name, content string) {
	s.b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		s.b.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(content), 0o644); err != nil {
		s.b.t.Fatal(err)
	}
}

// shell types a script in the folder.
func (s *keeper) shell(script string) {
	s.b.t.Helper()
	cmd := exec.Command("bash", "--norc", "-e", "-c", script)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.b.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// folder is what the node says about the folder.
func (s *keeper) folder() Event {
	n := s.b.cloudpal(s.machine, s.home, "none", "sync", "ls")
	n.ends(s.b.t)
	e := n.last("folder")
	return e
}

// quiet tells whether the folder has nothing to do.
func (s *keeper) quiet() (bool, Event) {
	e := s.folder()
	return e.Str("state") == "idle" && e.Num("pending") == 0 && e.Num("waiting") == 0 && len(e.List("problems")) == 0, e
}

// moved returns how many bytes a machine has sent and received, with all headers.
func (s *keeper) moved() (sent, received uint64) {
	s.b.t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		s.b.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if name, figures, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == s.wire {
			f := strings.Fields(figures)
			// What the bridge's end receives the machine has sent.
			if sent, err = strconv.ParseUint(f[0], 10, 64); err == nil {
				received, err = strconv.ParseUint(f[8], 10, 64)
			}
			if err == nil {
				return sent, received
			}
		}
	}
	s.b.t.Fatalf("no counters of %s: %v\n%s", s.wire, err, b)
	return 0, 0
}

// traffic returns how many bytes went over the cable of a machine, both ways.
func (s *keeper) traffic() uint64 {
	s.b.t.Helper()
	sent, received := s.moved()
	return sent + received
}

// size returns how many bytes are in the data folder.
func (s *keeper) size() (n int64) {
	s.b.t.Helper()
	err := filepath.WalkDir(s.home, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		s.b.t.Fatal(err)
	}
	return n
}

// differences is what the judges say against two folders being equal: nothing if they are.
// With contents they read all files, otherwise they believe sizes and times.
func differences(t testing.TB, one, two string, contents bool) string {
	t.Helper()
	// Times of folders are not kept, see docs/operations/sync.md.
	args := []string{"-a", "-n", "--delete", "--itemize-changes", "--omit-dir-times", "--exclude=/" + marker, one + "/", two + "/"}
	if contents {
		args = append([]string{"-c"}, args...)
	}
	out, err := exec.Command("rsync", args...).CombinedOutput()
	if err != nil || len(out) > 0 {
		return fmt.Sprintf("rsync: %v\n%s", err, out)
	}
	if !contents {
		return ""
	}
	if out, err = exec.Command("diff", "-r", "--no-dereference", "--exclude="+marker, one, two).CombinedOutput(); err != nil || len(out) > 0 {
		return fmt.Sprintf("diff: %v\n%s", err, out)
	}
	return ""
}

// equal waits until both folders have nothing to do, and wants the judges to agree that
// they are equal.
func equal(t testing.TB, one, two *keeper) {
	t.Helper()
	var last string
	for until := time.Now().Add(3 * patience); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		quietOne, saysOne := one.quiet()
		quietTwo, saysTwo := two.quiet()
		last = fmt.Sprintf("%v\n%v\n", saysOne, saysTwo)
		if !quietOne || !quietTwo {
			continue
		}
		if bad := differences(t, one.dir, two.dir, false); bad != "" {
			last += bad // not yet
			continue
		}
		bad := differences(t, one.dir, two.dir, true)
		if bad == "" {
			return
		}
		// Unless something came in between, they are not what they are said to be.
		if differences(t, one.dir, two.dir, false) == "" && differences(t, one.dir, two.dir, true) == bad {
			t.Fatalf("the folders are said to be equal and are not: %s", bad)
		}
	}
	t.Fatalf("the folders do not become equal: %.5000s\n%s\n%s", last, one.node.Log(), two.node.Log())
}

// everywhere waits until the folder of a side has a file with this content.
func (s *keeper) everywhere(name, content string) {
	s.b.t.Helper()
	eventually(s.b.t, fmt.Sprintf("%q in %s on %s", content, name, s.machine), func() bool {
		b, err := os.ReadFile(s.path(name))
		return err == nil && string(b) == content
	})
}
