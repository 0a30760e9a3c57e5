package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// patient is how long a test waits for something that has to happen.
const patient = 2 * time.Minute

// process is a cloudpal that runs beside the test, with --json.
type process struct {
	cmd    *exec.Cmd
	lines  chan string               // of standard output, closed at its end
	up     atomic.Pointer[time.Time] // when it said that it is up
	sent   uint64                    // bytes that peers got, once it has ended
	stderr bytes.Buffer
}

func startProcess(env []string, dir string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command("cloudpal", append(args, "--json")...), lines: make(chan string, 1<<16)}
	p.cmd.Env, p.cmd.Dir, p.cmd.Stderr = env, dir, &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			if strings.HasPrefix(s.Text(), `{"type":"up"`) {
				now := time.Now()
				p.up.Store(&now)
			}
			p.lines <- s.Text()
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	return p, nil
}

// event waits for the next event of a type that contains all texts.
func (p *process) event(kind string, texts ...string) (map[string]any, error) {
	deadline := time.After(patient)
	var seen []string
next:
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				err := p.cmd.Wait()
				return nil, fmt.Errorf("it ended (%v) without the event %s %q; it said\n%s\n%s", err, kind, texts, strings.Join(seen, "\n"), &p.stderr)
			}
			seen = append(seen, line)
			var e map[string]any
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			if e["type"] != kind {
				continue
			}
			for _, t := range texts {
				if !strings.Contains(line, t) {
					continue next
				}
			}
			return e, nil
		case <-deadline:
			return nil, fmt.Errorf("no event %s %q; it said\n%s", kind, texts, strings.Join(seen, "\n"))
		}
	}
}

// end sends a signal and returns the exit code, -1 if the signal ended it.
func (p *process) end(s syscall.Signal) (int, error) {
	if err := p.cmd.Process.Signal(s); err != nil {
		return 0, err
	}
	late := time.AfterFunc(patient, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	for line := range p.lines {
		p.sent = max(p.sent, sentBytes(line))
	}
	_ = p.cmd.Wait() // the code says it
	return p.cmd.ProcessState.ExitCode(), nil
}

// kill ends a process that a test left behind.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_, _ = p.end(syscall.SIGKILL)
	}
}

// homeEnv is the environment of a process with its own data folder.
func homeEnv(home string) []string { return append(os.Environ(), "CLOUDPAL_HOME="+home) }
