package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// step is a block of the tour: what is typed on a machine, and what that shows.
type step struct {
	line    int
	machine string
	// stays: the command runs until the end of the tour. until: it is run again until it
	// shows what it must.
	stays, until bool
	script       string
	shows        string
	checks       bool // shows counts, even if it is empty
}

// readTour reads the blocks of a document: "sh MACHINE" is typed there, "sh MACHINE
// stays" in a window of its own, "sh MACHINE until" as often as needed, and "text" is
// what the block before it shows.
func readTour(t testing.TB, path string) (steps []step) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var block *strings.Builder
	var info []string
	for i, l := range strings.Split(string(b), "\n") {
		fence, is := strings.CutPrefix(l, "```")
		switch {
		case is && block == nil:
			block, info = new(strings.Builder), strings.Fields(fence)
		case is:
			switch {
			case len(info) >= 2 && info[0] == "sh":
				s := step{line: i + 1, machine: info[1], script: block.String()}
				for _, word := range info[2:] {
					s.stays, s.until = s.stays || word == "stays", s.until || word == "until"
				}
				steps = append(steps, s)
			case len(info) == 1 && info[0] == "text" && len(steps) > 0:
				steps[len(steps)-1].shows, steps[len(steps)-1].checks = block.String(), true
			}
			block = nil
		case block != nil:
			block.WriteString(l + "\n")
		}
	}
	return steps
}

// What differs from one run to the next. A value of the document stands for that of
// the run from where it is shown on.
var varying = regexp.MustCompile(`cloudpal://[a-z0-9/]+|hyper://[a-z0-9]+|\b\d{4}-[a-z]+-[a-z]+\b|\b[13456789abcdefghijkmnopqrstuwxyz]{52}\b|` +
	`\b\d{4}-\d\d-\d\d \d\d[:.]\d\d(?:[:.]\d\d)?\b|\b\d+(?:\.\d+)? (?:B|kB|MB|GB|KiB|MiB|GiB)\b`)

// matches compares what was shown with the document, "…" standing for anything, and
// notes what varying values are in this run.
func matches(doc, got string, values map[string]string) error {
	want := strings.Split(strings.TrimRight(doc, "\n"), "\n")
	lines := strings.Split(strings.TrimRight(got, "\n"), "\n")
	found := make(map[string]string)
	for _, w := range want {
		if strings.TrimSpace(w) == "…" {
			continue
		}
		var re strings.Builder
		re.WriteString("^")
		var names []string
		rest := w
		for rest != "" {
			at := varying.FindStringIndex(rest)
			dots := strings.Index(rest, "…")
			switch {
			case at != nil && (dots < 0 || at[0] < dots):
				re.WriteString(regexp.QuoteMeta(rest[:at[0]]) + "(" + varying.String() + ")")
				names = append(names, rest[at[0]:at[1]])
				rest = rest[at[1]:]
			case dots >= 0:
				re.WriteString(regexp.QuoteMeta(rest[:dots]) + ".*")
				rest = rest[dots+len("…"):]
			default:
				re.WriteString(regexp.QuoteMeta(rest))
				rest = ""
			}
		}
		line, m := 0, []string(nil)
		for exp := regexp.MustCompile(re.String() + `\s*$`); line < len(lines) && m == nil; line++ {
			m = exp.FindStringSubmatch(lines[line])
		}
		if m == nil {
			return fmt.Errorf("no line %q in\n%s", w, got)
		}
		lines = lines[line:]
		for i, n := range names {
			found[n] = m[i+1]
		}
	}
	for k, v := range found {
		values[k] = v
	}
	return nil
}

// tour is a run of it.
type tour struct {
	b        *bench
	boot     string
	machines map[string]*tourist
	values   map[string]string
}

type tourist struct {
	name, home string
	windows    []*exec.Cmd
}

func (o *tour) at(machine string) *tourist {
	m := o.machines[machine]
	if m == nil {
		m = &tourist{name: o.b.machine(), home: filepath.Join(o.b.t.TempDir(), machine)}
		if err := os.MkdirAll(m.home, 0o700); err != nil {
			o.b.t.Fatal(err)
		}
		o.machines[machine] = m
	}
	return m
}

// shell makes the command that types a script on a machine.
func (o *tour) shell(m *tourist, script string) *exec.Cmd {
	cmd := exec.Command("ip", "netns", "exec", m.name, "bash", "--norc", "-e", "-c", script)
	cmd.Dir = m.home
	cmd.Env = append(os.Environ(), "HOME="+m.home, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "XDG_RUNTIME_DIR=", "CLOUDPAL_BOOTSTRAP="+o.boot,
		"PATH="+filepath.Dir(o.b.binary)+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (o *tour) run(s step) {
	t := o.b.t
	t.Helper()
	script := s.script
	for k, v := range o.values {
		script = strings.ReplaceAll(script, k, v)
	}
	m := o.at(s.machine)
	if s.stays {
		o.stay(m, s, script)
		return
	}
	for until := time.Now().Add(3 * patience); ; time.Sleep(200 * time.Millisecond) {
		var out bytes.Buffer
		cmd := o.shell(m, script)
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		if err == nil && s.checks {
			err = matches(s.shows, out.String(), o.values)
		}
		if err == nil {
			return
		}
		if !s.until || time.Now().After(until) {
			t.Fatalf("line %d, on %s:\n%s%v\n%s", s.line, s.machine, script, err, &out)
		}
	}
}

// window is what a command that stays has shown.
type window struct {
	mu  chan struct{}
	out bytes.Buffer
}

func (w *window) Write(p []byte) (int, error) {
	w.mu <- struct{}{}
	defer func() { <-w.mu }()
	return w.out.Write(p)
}

func (w *window) String() string {
	w.mu <- struct{}{}
	defer func() { <-w.mu }()
	return w.out.String()
}

func (o *tour) stay(m *tourist, s step, script string) {
	t := o.b.t
	t.Helper()
	w := &window{mu: make(chan struct{}, 1)}
	cmd := o.shell(m, script)
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.windows = append(m.windows, cmd)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		late := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer late.Stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the window of line %d on %s showed\n%s", s.line, s.machine, w)
		}
	})
	for until := time.Now().Add(3 * patience); s.checks; time.Sleep(50 * time.Millisecond) {
		err := matches(s.shows, w.String(), o.values)
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("line %d, on %s:\n%s%v", s.line, s.machine, script, err)
		}
	}
}

// The tour is done as it is written, by copy and paste, on machines in a house of their
// own.
func TestTour(t *testing.T) {
	if !alone(t) {
		return
	}
	steps := readTour(t, filepath.Join(filepath.Dir(interopDir()), "docs", "tour.md"))
	if len(steps) == 0 {
		t.Fatal("the tour has no steps")
	}
	b := newBench(t)
	o := &tour{b: b, boot: b.network(), machines: make(map[string]*tourist), values: make(map[string]string)}
	for _, s := range steps {
		o.run(s)
	}
}
