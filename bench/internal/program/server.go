package program

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// server is a server program that runs as a child.
type server struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// startServer starts command, or this program's own server of that name if
// command is empty, and reads its first line into first.
func startServer(ctx context.Context, o IO, command, own string, args []string, first any) (*server, error) {
	argv := strings.Fields(command)
	if len(argv) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		argv = []string{self, "go", own}
	}
	s := &server{cmd: exec.CommandContext(ctx, argv[0], append(argv[1:], args...)...)}
	s.cmd.Stderr = o.Stderr
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(stdout)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	if err := s.line(first); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// stop ends the server's input and returns what it used.
func (s *server) stop() (u served, err error) {
	s.stdin.Close()
	if err := s.line(&u); err != nil {
		s.kill()
		return u, err
	}
	return u, s.cmd.Wait()
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait() // its error is the kill
}

func (s *server) line(v any) error {
	b, err := s.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("read from server: %w", err)
	}
	return nil
}
