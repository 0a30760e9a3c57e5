package service

import (
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var strange = &Unit{Program: "/opt/my tools/cloudpal", Args: []string{"up", "--peer", `a "b" \c $HOME %h 'd' & <e>`, "--http", "127.0.0.1:4979"}, Env: []string{`CLOUDPAL_HOME=/home/jane/my "cloud" 100%`, "CLOUDPAL_LAN=none"}}

func TestSystemdUnits(t *testing.T) {
	for _, user := range []string{"", "jane"} {
		u := *strange
		u.User = user
		text := u.Systemd()
		for _, want := range []string{
			`ExecStart="/opt/my tools/cloudpal" "up" "--peer" "a \"b\" \\c $$HOME %%h 'd' & <e>" "--http" "127.0.0.1:4979"` + "\n",
			`Environment="CLOUDPAL_HOME=/home/jane/my \"cloud\" 100%%"` + "\n", "Type=notify\n", "WatchdogSec=60\n", "NoNewPrivileges=yes\n", "UMask=0077\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
		if strings.Contains(text, "User=jane\n") != (user != "") || strings.Contains(text, "WantedBy=default.target\n") != (user == "") {
			t.Errorf("user %q:\n%s", user, text)
		}
	}
}

// systemd itself finds nothing wrong with the units.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatalf("%v: install the package systemd", err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"", "root"} {
		u := *strange
		u.Program, u.User = program, user
		dir := t.TempDir()
		path := filepath.Join(dir, Name+".service")
		if err := os.WriteFile(path, []byte(u.Systemd()), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"verify", "--man=no", path}
		if user == "" {
			args = append([]string{"--user"}, args...)
		}
		cmd := exec.Command(analyze, args...)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), Name+".service:") {
			t.Errorf("%v:\n%s\n%s", err, out, u.Systemd())
		}
	}
}

func TestLaunchdListsAreWellFormed(t *testing.T) {
	text := strange.Launchd()
	d := xml.NewDecoder(strings.NewReader(text))
	var texts []string
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if c, ok := token.(xml.CharData); ok && strings.TrimSpace(string(c)) != "" {
			texts = append(texts, string(c))
		}
	}
	all := strings.Join(texts, "|")
	for _, want := range []string{strange.Args[2], "ProgramArguments|/opt/my tools/cloudpal|up|--peer|", `CLOUDPAL_HOME|/home/jane/my "cloud" 100%|`} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in %q", want, all)
		}
	}
}
