package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cloudpal": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestScripts runs the scripts of testdata with the commands of script_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("CLOUDPAL_HOME", e.WorkDir+"/home")
			e.Setenv("TZ", "UTC")
			s := &script{env: e.Vars, running: make(map[string]*process)}
			e.Values[scriptKey{}] = s
			e.Defer(s.close)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "await": await, "interrupt": interrupt, "murder": murder, "jsonlines": jsonLines, "exits": exits,
			"random": random, "same": same, "flip": flip, "http": httpRequest, "hostile": hostile, "tmpfs": tmpfs, "identity": identity,
			"waitfor": waitForText, "waitmatch": waitForMatch, "loopback": loopback, "waitfile": waitForFile, "token": apiToken, "slow": slow, "base_link": baseLink, "add_member": addMember, "takes": takes,
		},
	})
}
