package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/api"
)

// TestShareAndGet moves a folder between two data folders over a connection.
func TestShareAndGet(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		src, homes, out := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "out")
		big := bytes.Repeat([]byte("all the same, all the same. "), 200_000)
		for name, b := range map[string][]byte{"a.txt": []byte("hello"), "sub/big.bin": big, "empty": nil} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(src, name), b, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		args := []string{"share", src, "--json", "--listen", "tcp://127.0.0.1:0"}
		if encrypted {
			args = append(args, "--encrypted")
		}
		r, w := io.Pipe()
		done := make(chan int, 1)
		t.Setenv("CLOUDPAL_HOME", filepath.Join(homes, "one"))
		go func() {
			done <- Run(ctx, args, strings.NewReader(""), w, io.Discard)
			w.Close()
		}()
		var shared api.Shared
		lines := bufio.NewScanner(r)
		for shared.Type != api.TypeShared && lines.Scan() {
			var e api.Shared
			if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == api.TypeShared {
				shared = e
			}
		}
		if len(shared.Listen) == 0 {
			t.Fatal("nothing is shared")
		}
		go func() { _, _ = io.Copy(io.Discard, r) }() // what it says later is of no interest

		t.Setenv("CLOUDPAL_HOME", filepath.Join(homes, "two"))
		var stderr bytes.Buffer
		if code := Run(t.Context(), []string{"get", shared.Link, out, "--peer", shared.Listen[0]}, strings.NewReader(""), io.Discard, &stderr); code != 0 {
			t.Fatalf("get ends with %d: %s", code, &stderr)
		}
		got, err := os.ReadFile(filepath.Join(out, "sub", "big.bin"))
		if err != nil || !bytes.Equal(got, big) {
			t.Errorf("%d bytes arrived, want %d: %v", len(got), len(big), err)
		}
		if info, err := os.Stat(filepath.Join(out, "a.txt")); err != nil || info.Mode()&0o100 == 0 {
			t.Errorf("the executable bit is lost: %v", err)
		}
		stop()
		if code := <-done; code != 0 {
			t.Errorf("share ends with %d", code)
		}
	}
}
