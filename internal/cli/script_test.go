package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type scriptKey struct{}

// script is what the commands of one script share.
type script struct {
	env     []string
	running map[string]*process
	undo    []func()
}

func scriptOf(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

func (s *script) close() {
	for _, p := range s.running {
		p.kill()
	}
	for _, fn := range slices.Backward(s.undo) {
		fn()
	}
}

func (s *script) process(ts *testscript.TestScript, name string) *process {
	p := s.running[name]
	if p == nil {
		ts.Fatalf("nothing was started as %s", name)
	}
	return p
}

// start NAME ARG...: runs cloudpal --json in the background.
func start(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	env := append(slices.Clone(s.env), "CLOUDPAL_HOME="+ts.Getenv("CLOUDPAL_HOME"), testLAN+"="+ts.Getenv(testLAN))
	p, err := startProcess(env, ts.MkAbs("."), args[1:]...)
	ts.Check(err)
	s.running[args[0]] = p
}

// await NAME TYPE TEXT...: waits for the next event of a type with all texts in
// it, and sets NAME_link, NAME_url and so on to its members, NAME_listen to the
// first address, NAME_host to host and port of the URL.
func await(ts *testscript.TestScript, neg bool, args []string) {
	e, err := scriptOf(ts).process(ts, args[0]).event(args[1], args[2:]...)
	ts.Check(err)
	for k, v := range e {
		if list, ok := v.([]any); ok {
			if len(list) == 0 {
				continue
			}
			v = list[0]
		}
		ts.Setenv(args[0]+"_"+k, fmt.Sprint(v))
		if u, err := url.Parse(fmt.Sprint(v)); (k == "url" || k == "http") && err == nil {
			ts.Setenv(args[0]+"_host", u.Host)
		}
	}
}

// interrupt NAME [CODE]: presses Ctrl-C and wants the exit code, 0 by default.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	s, want := scriptOf(ts), "0"
	if len(args) > 1 {
		want = args[1]
	}
	p := s.process(ts, args[0])
	delete(s.running, args[0])
	code, err := p.end(syscall.SIGINT)
	ts.Check(err)
	if strconv.Itoa(code) != want {
		ts.Fatalf("%s ends with %d, want %s: %s", args[0], code, want, &p.stderr)
	}
}

// murder NAME: kills without a warning.
func murder(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	s.process(ts, args[0]).kill()
	delete(s.running, args[0])
}

// jsonlines TYPE...: wants the lines of the last standard output to be objects of
// these types, and at least one of each. Reports of progress may come besides.
func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	seen := make(map[string]bool)
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		var e struct{ Type string }
		ts.Check(json.Unmarshal([]byte(line), &e))
		switch {
		case strings.HasPrefix(line, `{"type":"progress",`):
		case !strings.HasPrefix(line, `{"type":"`) || !slices.Contains(args, e.Type):
			ts.Fatalf("line of an unexpected type: %s", line)
		default:
			seen[e.Type] = true
		}
	}
	if len(seen) != len(args) {
		ts.Fatalf("got the types %v, want %v", slices.Collect(maps.Keys(seen)), args)
	}
}

// exits CODE ARG...: runs cloudpal and wants the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("cloudpal", args[1:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	fmt.Fprint(ts.Stdout(), ts.ReadFile("stdout"))
	fmt.Fprint(ts.Stderr(), ts.ReadFile("stderr"))
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("cloudpal %q ends with %d, want %s", args[1:], code, args[0])
	}
	if strings.Contains(ts.ReadFile("stderr"), "goroutine ") {
		ts.Fatalf("it panics")
	}
}

// random FILE BYTES SEED: writes bytes that nothing can shorten.
func random(ts *testscript.TestScript, neg bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	seed, err := strconv.ParseUint(args[2], 10, 8)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), randomBytes(byte(seed), size), 0o644))
}

func randomBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// same A B: wants two files or folders to be alike: names, contents, links, the
// executable bit and times.
func same(ts *testscript.TestScript, neg bool, args []string) {
	diff, err := compareTrees(ts.MkAbs(args[0]), ts.MkAbs(args[1]))
	ts.Check(err)
	if neg == (diff == "") {
		ts.Fatalf("%s and %s: differences: %q", args[0], args[1], diff)
	}
}

// compareTrees returns the first difference of two trees, or nothing.
func compareTrees(a, b string) (string, error) {
	left, err := describeTree(a)
	if err != nil {
		return "", err
	}
	right, err := describeTree(b)
	if err != nil {
		return "", err
	}
	for i := range max(len(left), len(right)) {
		switch {
		case i >= len(left):
			return "only in the second: " + right[i][:min(len(right[i]), 200)], nil
		case i >= len(right):
			return "only in the first: " + left[i][:min(len(left[i]), 200)], nil
		case left[i] != right[i]:
			return fmt.Sprintf("%.200s is not %.200s", left[i], right[i]), nil
		}
	}
	return "", nil
}

func describeTree(root string) (all []string, err error) {
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := rel + " " + info.Mode().Type().String()
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			all = append(all, text+" -> "+target)
			return err
		}
		b, err := os.ReadFile(name)
		all = append(all, fmt.Sprintf("%s %v %s %s", text, info.Mode()&0o100 != 0, info.ModTime().Truncate(time.Millisecond), b))
		return err
	})
	return all, err
}

// flip PATTERN OFFSET: inverts the byte at an offset of every file that matches;
// a negative one counts from the end.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("no file matches %s", args[0])
	}
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	for _, name := range names {
		b, err := os.ReadFile(name)
		ts.Check(err)
		at := offset
		if at < 0 {
			at += len(b)
		}
		if at < 0 || at >= len(b) {
			ts.Fatalf("%s has %d bytes", name, len(b))
		}
		b[at] ^= 0xff
		ts.Check(os.WriteFile(name, b, 0o600))
	}
}

// http METHOD URL HEADER:VALUE...: prints status, headers and body of the answer.
func httpRequest(ts *testscript.TestScript, neg bool, args []string) {
	r, err := http.NewRequest(args[0], args[1], nil)
	ts.Check(err)
	for _, h := range args[2:] {
		name, value, _ := strings.Cut(h, ":")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, strings.TrimSpace(value))
	}
	c := http.Client{
		Timeout:       patient,
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := c.Do(r)
	ts.Check(err)
	defer res.Body.Close()
	var out bytes.Buffer
	fmt.Fprintln(&out, res.StatusCode)
	ts.Check(res.Header.Write(&out))
	fmt.Fprintln(&out)
	_, err = io.Copy(&out, res.Body)
	ts.Check(err)
	ts.Setenv("etag", res.Header.Get("ETag"))
	ts.Setenv("modified", res.Header.Get("Last-Modified"))
	_, err = ts.Stdout().Write(out.Bytes())
	ts.Check(err)
}

// slow DURATION ARG...: runs cloudpal and wants it to take at least so long.
func slow(ts *testscript.TestScript, neg bool, args []string) {
	least, err := time.ParseDuration(args[0])
	ts.Check(err)
	began := time.Now()
	ts.Check(ts.Exec("cloudpal", args[1:]...))
	if took := time.Since(began); took < least {
		ts.Fatalf("it took only %v", took)
	}
}

// token: sets token to that of the API.
func apiToken(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv("token", strings.TrimSpace(ts.ReadFile(ts.Getenv("CLOUDPAL_HOME")+"/api.token")))
}

// identity: sets id to the public key of the node.
func identity(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("cloudpal", "info", "--json"))
	line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	var info struct{ ID string }
	ts.Check(json.Unmarshal([]byte(line), &info))
	ts.Setenv("id", info.ID)
}

// waitfor TEXT COMMAND ARG...: runs a command until its output has the text.
func waitForText(ts *testscript.TestScript, neg bool, args []string) {
	for until := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if out := ts.ReadFile("stdout"); strings.Contains(out, args[0]) {
			fmt.Fprint(ts.Stdout(), out)
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("%q does not come", args[0])
		}
	}
}

// waitmatch REGEXP COMMAND ARG...: runs a command until its output matches.
func waitForMatch(ts *testscript.TestScript, neg bool, args []string) {
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for until := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		out := ts.ReadFile("stdout")
		if want.MatchString(out) {
			fmt.Fprint(ts.Stdout(), out)
			fmt.Fprint(ts.Stderr(), ts.ReadFile("stderr"))
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("%q does not come", args[0])
		}
	}
}

// loopback keeps other scripts off the loopback interface's local link until the script
// ends: whose codes have one number would meet each other.
func loopback(ts *testscript.TestScript, neg bool, args []string) {
	onLoopback.Lock()
	ts.Defer(onLoopback.Unlock)
}

var onLoopback sync.Mutex

// waitfile FILE WANT: waits until a file has the content of another one.
func waitForFile(ts *testscript.TestScript, neg bool, args []string) {
	want, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	for until := time.Now().Add(patient); ; time.Sleep(20 * time.Millisecond) {
		got, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && bytes.Equal(got, want) {
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("%s has %q: %v", args[0], got, err)
		}
	}
}

// base_link: sets link to that of the only base of the node.
func baseLink(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("cloudpal", "base", "ls", "--json"))
	var b struct{ Link string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &b))
	ts.Setenv("link", b.Link)
}

// add_member BASE FILE: adds the device whose key is in the file.
func addMember(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("cloudpal", "base", "members", "add", args[0], strings.TrimSpace(ts.ReadFile(args[1]))))
}

// tmpfs DIR BYTES: mounts a small disk. It needs the rights of the superuser.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+args[1], "cloudpal-test", dir).CombinedOutput()
	if err != nil {
		ts.Fatalf("mount: %v: %s", err, out)
	}
	s := scriptOf(ts)
	s.undo = append(s.undo, func() { _ = exec.Command("umount", "-l", dir).Run() })
}
