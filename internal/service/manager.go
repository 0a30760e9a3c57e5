package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/tradle/cloudpal/internal/fault"
)

// Manager is the service manager of this system.
type Manager struct {
	// System is for services of the system, not of the person.
	System bool
}

// errNoManager is for systems without a service manager that is known here.
func errNoManager() error {
	return fault.New(fault.Usage, "there is no service manager here that cloudpal knows").Hint("start cloudpal up in the way of this system")
}

// Status is how the service stands.
type Status struct {
	Path      string // of the file that describes the service
	Installed bool
	// Enabled and Active are words of the service manager.
	Enabled, Active string
}

// Path returns the file that describes the service to the manager.
func (m *Manager) Path() (string, error) {
	switch {
	case runtime.GOOS == "darwin" && m.System:
		return "/Library/LaunchDaemons/" + Label + ".plist", nil
	case runtime.GOOS == "darwin":
		home, err := os.UserHomeDir()
		return filepath.Join(home, "Library", "LaunchAgents", Label+".plist"), err
	case runtime.GOOS != "linux":
		return "", errNoManager()
	case m.System:
		return "/etc/systemd/system/" + Name + ".service", nil
	}
	config, err := os.UserConfigDir()
	return filepath.Join(config, "systemd", "user", Name+".service"), err
}

// Text returns what describes a unit to the manager.
func (m *Manager) Text(u *Unit) (string, error) {
	switch runtime.GOOS {
	case "darwin":
		return u.Launchd(), nil
	case "linux":
		return u.Systemd(), nil
	}
	return "", errNoManager()
}

// Install describes the service to the manager, replacing what was described before,
// and starts it.
func (m *Manager) Install(ctx context.Context, u *Unit) error {
	path, err := m.Path()
	if err != nil {
		return err
	}
	text, err := m.Text(u)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("describe the service: %w", err)
	}
	if runtime.GOOS == "darwin" {
		_ = m.run(ctx, "launchctl", "bootout", m.domain()+"/"+Label) // it may not be there
		return m.run(ctx, "launchctl", "bootstrap", m.domain(), path)
	}
	return m.systemctl(ctx, [][]string{{"daemon-reload"}, {"enable", Name + ".service"}, {"restart", Name + ".service"}})
}

// Uninstall stops the service and takes its description away. None is
// [fault.NotFound].
func (m *Manager) Uninstall(ctx context.Context) error {
	path, err := m.Path()
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "the service is not installed")
	}
	if runtime.GOOS == "darwin" {
		err = m.run(ctx, "launchctl", "bootout", m.domain()+"/"+Label)
	} else {
		err = m.systemctl(ctx, [][]string{{"disable", "--now", Name + ".service"}})
	}
	if err := errors.Join(err, os.Remove(path)); err != nil || runtime.GOOS == "darwin" {
		return err
	}
	return m.systemctl(ctx, [][]string{{"daemon-reload"}})
}

// Status asks how the service stands.
func (m *Manager) Status(ctx context.Context) (s Status, err error) {
	if s.Path, err = m.Path(); err != nil {
		return s, err
	}
	_, err = os.Stat(s.Path)
	s.Installed = err == nil
	if !s.Installed {
		return s, nil
	}
	if runtime.GOOS == "darwin" {
		s.Enabled, s.Active = "enabled", "inactive"
		if exec.CommandContext(ctx, "launchctl", "print", m.domain()+"/"+Label).Run() == nil {
			s.Active = "active"
		}
		return s, nil
	}
	s.Enabled, s.Active = m.ask(ctx, "is-enabled"), m.ask(ctx, "is-active")
	return s, nil
}

// domain is where launchd keeps the service.
func (m *Manager) domain() string {
	if m.System {
		return "system"
	}
	return "gui/" + strconv.Itoa(os.Getuid())
}

func (m *Manager) systemctl(ctx context.Context, commands [][]string) error {
	for _, c := range commands {
		if err := m.run(ctx, "systemctl", m.args(c...)...); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) args(a ...string) []string {
	if m.System {
		return a
	}
	return append([]string{"--user"}, a...)
}

// ask returns the word that systemctl answers with, whatever its exit code.
func (m *Manager) ask(ctx context.Context, what string) string {
	out, err := exec.CommandContext(ctx, "systemctl", m.args(what, Name+".service")...).Output()
	if word := strings.TrimSpace(string(out)); word != "" || err == nil {
		return word
	}
	return "unknown"
}

func (m *Manager) run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	f := fault.New(fault.Unavailable, "%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	if errors.Is(err, exec.ErrNotFound) {
		f = fault.New(fault.Usage, "there is no %s here", name)
	}
	return f.Hint("see what would be installed: cloudpal service install --print").Hint("or start cloudpal up in the way of this system")
}
