package cli

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	idleFiles = flag.Int("idle-files", 20_000, "how many files the folders of BenchmarkIdle have")
	idleTime  = flag.Duration("idle-time", time.Minute, "how long BenchmarkIdle measures processor time")
)

// BenchmarkIdle tells what nodes take that have a large folder in sync and nothing to do:
// one without peers, the two of a pair, and one that was started again. What takes how
// long does not matter, and it runs once:
//
//	go test ./internal/cli -run '^$' -bench Idle -benchtime 1x -timeout 0 -idle-files 100000 -idle-time 5m
func BenchmarkIdle(b *testing.B) {
	dir := b.TempDir()
	program := filepath.Join(dir, "cloudpal")
	build := exec.Command("go", "build", "-o", program, "../../cmd/cloudpal")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make build` does
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	one := &idler{b: b, program: program, home: filepath.Join(dir, "one"), folder: filepath.Join(dir, "a")}
	two := &idler{b: b, program: program, home: filepath.Join(dir, "two"), folder: filepath.Join(dir, "b")}
	fillIdle(b, one.folder, *idleFiles)
	const at = "tcp://127.0.0.1:47101"
	one.run("identity", "new", "--protect", "plain")
	two.run("identity", "new", "--protect", "plain")
	one.up("--listen", at)
	one.run("space", "create", "idle")
	one.run("sync", one.folder, "--space", "idle")
	b.Run("alone", one.report)
	two.run("join", strings.TrimSpace(one.run("space", "invite", "idle", "--role", "editor", "--no-wait", "-q")), "--peer", at)
	two.up("--peer", at)
	two.run("sync", two.folder, "--space", "idle")
	for two.files() < *idleFiles {
		time.Sleep(time.Second)
	}
	b.Run("of-two/the-first", one.report)
	b.Run("of-two/the-second", two.report)
	one.down()
	one.up("--listen", at)
	b.Run("of-two/restarted", one.report)
	one.down()
	two.down()
}

// fillIdle makes files of 1 to 4 kB, 100 in each folder.
func fillIdle(b *testing.B, root string, n int) {
	r := rand.New(rand.NewPCG(5, uint64(n)))
	data := make([]byte, 4096)
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("dir-%04d", i/100))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for at := 0; at < len(data); at += 8 {
			binary.LittleEndian.PutUint64(data[at:], r.Uint64())
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%06d", i)), data[:1000+i%3000], 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// idler is a node of BenchmarkIdle.
type idler struct {
	b                     *testing.B
	program, home, folder string
	daemon                *exec.Cmd
}

func (n *idler) command(args ...string) *exec.Cmd {
	cmd := exec.Command(n.program, args...)
	cmd.Env = append(os.Environ(), "CLOUDPAL_HOME="+n.home, "CLOUDPAL_LAN=none", "CLOUDPAL_BOOTSTRAP=none")
	cmd.Stderr = os.Stderr
	return cmd
}

func (n *idler) run(args ...string) string {
	out, err := n.command(args...).Output()
	if err != nil {
		n.b.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func (n *idler) up(args ...string) {
	cmd := n.command(append([]string{"up", "--json"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n') // it is up
	}
	if err != nil {
		n.b.Fatal(err)
	}
	n.daemon = cmd
	n.b.Cleanup(func() { _ = cmd.Process.Kill() })
}

func (n *idler) down() {
	_ = n.daemon.Process.Signal(syscall.SIGINT)
	if err := n.daemon.Wait(); err != nil {
		n.b.Errorf("%s: %v", n.home, err)
	}
}

func (n *idler) files() (count int) {
	_ = filepath.WalkDir(n.folder, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasPrefix(d.Name(), "file-") {
			count++
		}
		return nil
	})
	return count
}

// report waits until the node rests and measures. Shared are the pages of files, which
// are those of the program: the system has them once for all processes, and takes them
// back when it needs to.
func (n *idler) report(b *testing.B) {
	n.b = b
	for quiet := 0; quiet < 30; quiet++ {
		before := n.cpu()
		time.Sleep(time.Second)
		if n.cpu()-before > 20*time.Millisecond {
			quiet = 0
		}
	}
	began, cpu := time.Now(), n.cpu()
	time.Sleep(*idleTime)
	b.ReportMetric(100*float64(n.cpu()-cpu)/float64(time.Since(began)), "cpu-%")
	b.ReportMetric(n.status("RssAnon:"), "private-MiB")
	b.ReportMetric(n.status("RssFile:"), "shared-MiB")
	b.ReportMetric(n.status("VmRSS:"), "rss-MiB")
	b.ReportMetric(n.status("VmHWM:"), "peak-MiB")
	b.ReportMetric(0, "ns/op")
}

// status reads a size from what the system says of the process.
func (n *idler) status(name string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.daemon.Process.Pid))
	if err != nil {
		n.b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name)
	kb, err := strconv.ParseFloat(strings.Fields(rest + " x")[0], 64)
	if err != nil {
		n.b.Fatal(err)
	}
	return kb / 1024
}

// cpu is the processor time that the process took. The system counts hundredths of a
// second.
func (n *idler) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.daemon.Process.Pid))
	if err != nil {
		n.b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name, which may have spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		n.b.Fatalf("%q", text)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		n.b.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
