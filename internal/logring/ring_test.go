package logring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

func kept(t *testing.T, r *Ring) string {
	t.Helper()
	var b strings.Builder
	if n, err := r.WriteTo(&b); err != nil || int(n) != b.Len() {
		t.Fatal(n, err)
	}
	return b.String()
}

// Nothing that is secret or private is kept, however it is logged; the next handler
// gets it all.
func TestSecretsAreNotKept(t *testing.T) {
	var next bytes.Buffer
	r := New(slog.NewTextHandler(&next, nil), 1<<16)
	log := slog.New(r)
	key := strings.Repeat("ybndrfg8", 6) + "ejkm"
	secrets := []string{"Love Letter", "letter.txt", "jane", key, "abandon zoo", "192.0.2.7", "2001:db8::7", strings.Repeat("0f", 32), "hyper", "4821-guitar"}
	cause := &fs.PathError{Op: "open", Path: "/home/jane/Love Letter.txt", Err: syscall.EACCES}
	for i, args := range [][]any{
		{"path", "/home/jane/letter.txt"}, {"name", "Love Letter"}, {"err", cause}, {"err", fmt.Errorf("import Love Letter: %w", cause)},
		{"err", fault.New(fault.Usage, "word %q", "abandon zoo")}, {"err", errors.Join(cause, errors.New("jane"))}, {"link", "hyper://" + key},
		{"addr", netip.MustParseAddrPort("192.0.2.7:80")}, {"addr", &net.TCPAddr{IP: net.ParseIP("2001:db8::7")}}, {"key", []byte(key)},
		{"all", []string{"jane"}}, {"one", struct{ Name string }{"jane"}}, {"code", "4821-guitar-lantern"}, {slog.Group("g", "name", "jane")},
	} {
		log.Info("message", append([]any{"n", i}, args...)...)
		log.With(args...).WithGroup("jane group").Warn("message")
	}
	for _, text := range []string{
		"open /home/jane/letter.txt: no", "get hyper://" + key, key, strings.Repeat("0f", 32), "from 192.0.2.7:99", "from [2001:db8::7]:1", `file "Love Letter" is gone`, `C:\Users\jane\x`,
	} {
		log.Error(text)
	}
	got := kept(t, r)
	for _, s := range secrets {
		if strings.Contains(got, s) {
			t.Errorf("%q is kept:\n%s", s, got)
		}
		if s != "jane" && s != "2001:db8::7" && s != key && !strings.Contains(next.String(), s) {
			t.Errorf("the next handler did not get %q", s)
		}
	}
	for _, want := range []string{"INFO message n=0 path=<text of 21 bytes>", "err=<permission *fs.PathError errno 13>", "err=<usage ", "name=<text of 4 bytes>"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not kept:\n%s", want, got)
		}
	}
}

func TestOrdinaryValuesAreKept(t *testing.T) {
	r := New(slog.DiscardHandler, 1<<16)
	log := slog.New(r)
	log.Debug("not this")
	log.Info("up", "version", "1.2.3", "upLimit", uint64(5), "took", time.Second, "ok", true, "x", 1.5, "state", "connected")
	if got := kept(t, r); !strings.HasSuffix(got, " INFO up version=1.2.3 upLimit=5 took=1s ok=true x=1.5 state=connected\n") || strings.Contains(got, "not this") {
		t.Errorf("%q", got)
	}
}

func TestTheRingIsBounded(t *testing.T) {
	r := New(slog.DiscardHandler, 1000)
	log := slog.New(r)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				log.Info("line", "i", i)
			}
		})
	}
	wg.Wait()
	log.Info("the last")
	got := kept(t, r)
	if len(got) > 1000 || len(got) < 500 || !strings.HasSuffix(got, "the last\n") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	log.Info(strings.Repeat("a b ", 2000))
	if got := kept(t, r); got != "" {
		t.Errorf("%d bytes are kept", len(got))
	}
}
