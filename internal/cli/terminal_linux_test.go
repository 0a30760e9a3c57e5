package cli

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns the two ends of a pseudo terminal: what is written to the
// person's is typed at the program's.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program
}

// atTerminal runs cloudpal at a terminal, types the answers, each once its question
// has been asked, and returns what is to be seen.
func atTerminal(t *testing.T, env []string, dialog [][2]string, args ...string) string {
	t.Helper()
	person, program := openTerminal(t)
	cmd := exec.Command("cloudpal", args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that Ctrl-C reaches it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	var seen strings.Builder
	for b := make([]byte, 1024); ; {
		n, err := person.Read(b)
		seen.Write(b[:n])
		if len(dialog) > 0 && strings.Contains(seen.String(), dialog[0][0]) {
			if _, err := io.WriteString(person, dialog[0][1]+"\n"); err != nil {
				t.Fatal(err)
			}
			dialog = dialog[1:]
		}
		if err != nil { // EIO when the program has ended
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Logf("cloudpal %q: %v", args, err)
	}
	if len(dialog) > 0 {
		t.Errorf("it did not ask %q; it said %q", dialog[0][0], seen.String())
	}
	return seen.String()
}

func TestThePhraseIsShownAtATerminal(t *testing.T) {
	env := homeEnv(t.TempDir())
	made := atTerminal(t, env, [][2]string{{"Passphrase for", "correct horse"}, {"The same again", "correct horse"}}, "identity", "new", "--protect", "passphrase")
	phrase := ""
	for line := range strings.Lines(made) {
		if len(strings.Fields(line)) == 24 {
			phrase = strings.TrimSpace(line)
		}
	}
	if phrase == "" {
		t.Fatalf("no phrase in %q", made)
	}
	if out := atTerminal(t, env, [][2]string{{"Show them?", "n"}}, "identity", "phrase"); strings.Contains(out, phrase) || !strings.Contains(out, "nothing was done") {
		t.Errorf("after no: %q", out)
	}
	if out := atTerminal(t, env, [][2]string{{"Show them?", "y"}, {"Passphrase:", "correct horse"}}, "identity", "phrase"); !strings.Contains(out, phrase) {
		t.Errorf("after yes: %q", out)
	}
}

// The first time, up makes the identity and shows the phrase; later it does not.
func TestUpMakesAnIdentityAtATerminal(t *testing.T) {
	env := homeEnv(t.TempDir())
	const ctrlC = "\x03"
	if out := atTerminal(t, env, [][2]string{{"your first machine?", "what?"}}, "up", "--no-dht", "--no-lan"); !strings.Contains(out, "is no code") {
		t.Errorf("after no code: %q", out)
	}
	first := atTerminal(t, env, [][2]string{{"your first machine?", ""}, {"Passphrase for", "correct horse"}, {"The same again", "correct horse"}, {"press Ctrl-C", ctrlC}}, "up", "--no-dht", "--no-lan", "--protect", "passphrase")
	if !strings.Contains(first, "write these words down") || !strings.Contains(first, "person  ") {
		t.Errorf("it said %q", first)
	}
	second := atTerminal(t, env, [][2]string{{"Passphrase: ", "correct horse"}, {"press Ctrl-C", ctrlC}}, "up", "--no-dht", "--no-lan")
	if strings.Contains(second, "person") {
		t.Errorf("the second time it said %q", second)
	}
}
