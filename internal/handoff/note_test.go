package handoff

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestATextIsTold(t *testing.T) {
	for _, tellerShows := range []bool{true, false} {
		m := newMeadow()
		codes := make(chan string, 1)
		shows := Options{Watch: Watcher{Code: func(c string) { codes <- c }}, Device: "Ann"}
		types := func() Options { return Options{Code: <-codes, Device: "Bob", Patience: time.Minute} }
		const text = "cloudpal://invite/…\n"
		var told, heard, name string
		var tellErr, hearErr error
		done := make(chan struct{})
		tell := func(o Options) { told, tellErr = Tell(t.Context(), m, o, text) }
		hear := func(o Options) { heard, name, hearErr = Hear(t.Context(), m, o) }
		if tellerShows {
			go func() { defer close(done); tell(shows) }()
			hear(types())
		} else {
			go func() { defer close(done); hear(shows) }()
			tell(types())
		}
		<-done
		if tellErr != nil || hearErr != nil {
			t.Fatal(tellErr, hearErr)
		}
		teller, hearer := "Ann", "Bob"
		if !tellerShows {
			teller, hearer = hearer, teller
		}
		if heard != text || name != teller || told != hearer {
			t.Errorf("heard %q from %q, told %q", heard, name, told)
		}
	}
}

// A code for files does not open a way for a text, nor the other way round, and is
// not used up by the attempt.
func TestCodesAreForOnePurpose(t *testing.T) {
	m := newMeadow()
	ctx, cancel := context.WithCancel(t.Context())
	codes, done := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := Tell(ctx, m, Options{Watch: Watcher{Code: func(c string) { codes <- c }}}, "x")
		done <- err
	}()
	code := <-codes
	_, err := Receive(t.Context(), m, ReceiveOptions{Options: Options{Code: code, Patience: time.Minute}, Dest: t.TempDir()})
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "something else") {
		t.Errorf("received files with the code of a text: %v", err)
	}
	if _, err := Tell(t.Context(), m, Options{Code: code, Patience: time.Minute}, "y"); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "both sides") {
		t.Errorf("both sides tell: %v", err)
	}
	if text, _, err := Hear(t.Context(), m, Options{Code: code, Patience: time.Minute}); err != nil || text != "x" {
		t.Errorf("the code was used up: %q, %v", text, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := Tell(t.Context(), m, Options{}, strings.Repeat("x", maxNote+1)); fault.KindOf(err) != fault.Usage {
		t.Errorf("a long text: %v", err)
	}
}
