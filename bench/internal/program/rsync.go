package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
)

// rsync copies a folder to an empty one with rsync, over loopback: by ssh, or
// from rsync's own daemon, which neither encrypts nor checks contents end to
// end. It prints the line rsync.
func rsync(ctx context.Context, io IO, args []string) error {
	f := io.flags("rsync")
	src := f.String("src", "", "`folder` to copy")
	by := f.String("by", "ssh", "ssh or daemon")
	if err := f.Parse(args); err != nil {
		return err
	}
	start, ok := map[string]func(context.Context, string, string) (*rsyncPeer, error){"ssh": startSSH, "daemon": startRsyncDaemon}[*by]
	if !ok {
		return fmt.Errorf("--by must be ssh or daemon, not %q", *by)
	}
	from, err := filepath.Abs(*src)
	if err != nil {
		return err
	}
	size, err := meter.DirSize(from)
	if err != nil {
		return err
	}
	files, err := countFiles(from)
	if err != nil {
		return err
	}
	tmp, remove, err := tempDir("rsync")
	if err != nil {
		return err
	}
	defer remove()
	peer, err := start(ctx, tmp, from)
	if err != nil {
		return err
	}
	defer peer.stop()

	cpu := meter.ChildrenCPU()
	out := filepath.Join(tmp, "out") + "/"
	began := time.Now()
	if text, err := exec.CommandContext(ctx, "rsync", append(peer.args, out)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(text))
	}
	took := time.Since(began)
	peer.stop()
	if n, err := meter.DirSize(out); err != nil || n != size {
		return errors.Join(fmt.Errorf("copied %d of %d bytes", n, size), err)
	}
	return io.print("rsync", float64(size)/1e6/took.Seconds(), "MB/s", meter.Fields{"by": *by, "bytes": size},
		meter.Fields{"ms": meter.Ms(took), "files_per_s": float64(files) / took.Seconds(), "cpu_s": meter.ChildrenCPU() - cpu})
}

// countFiles returns how many files a folder has, on all levels.
func countFiles(dir string) (n int, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	return n, err
}

// rsyncPeer is the other side.
type rsyncPeer struct {
	cmd  *exec.Cmd
	args []string // of rsync, up to the destination
}

// stop ends the peer and waits for it. It may be called twice.
func (p *rsyncPeer) stop() {
	p.cmd.Process.Signal(os.Interrupt) // it may have ended
	p.cmd.Wait()
}

// freePort returns a TCP port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startPeer starts cmd and waits until it listens on port.
func startPeer(ctx context.Context, port int, cmd *exec.Cmd, args []string) (*rsyncPeer, error) {
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &rsyncPeer{cmd: cmd, args: args}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return p, c.Close()
		}
		select {
		case <-ctx.Done():
			p.stop()
			return nil, errors.Join(err, errors.New(text.String()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func startRsyncDaemon(ctx context.Context, tmp, src string) (*rsyncPeer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(tmp, "rsyncd.conf")
	text := fmt.Sprintf("port = %d\naddress = 127.0.0.1\nuse chroot = no\nlog file = %s\n[src]\npath = %s\nread only = yes\n", port, filepath.Join(tmp, "log"), src)
	if os.Getuid() == 0 {
		text += "uid = root\ngid = root\n"
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "rsync", "--daemon", "--no-detach", "--config="+conf)
	return startPeer(ctx, port, cmd, []string{"-a", fmt.Sprintf("rsync://127.0.0.1:%d/src/", port)})
}

func startSSH(ctx context.Context, tmp, src string) (*rsyncPeer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"host", "user"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(tmp, name)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	if os.Getuid() == 0 {
		// The folder that sshd drops its rights in is made by the system's own start script.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	cmd := exec.CommandContext(ctx, sshd, "-D", "-e", "-f", "/dev/null", "-p", fmt.Sprint(port), "-h", filepath.Join(tmp, "host"),
		"-o", "ListenAddress=127.0.0.1", "-o", "AuthorizedKeysFile="+filepath.Join(tmp, "user.pub"), "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PidFile=none", "-o", "LogLevel=ERROR")
	ssh := fmt.Sprintf("ssh -p %d -i %s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR", port, filepath.Join(tmp, "user"))
	user := os.Getenv("USER")
	if user == "" {
		user = "root"
	}
	return startPeer(ctx, port, cmd, []string{"-a", "-e", ssh, user + "@127.0.0.1:" + src + "/"})
}
