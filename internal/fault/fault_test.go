package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"testing"
)

func TestTableIsIndexedByKind(t *testing.T) {
	names := map[string]bool{}
	for i, r := range table {
		if int(r.kind) != i {
			t.Errorf("row %d holds kind %d", i, r.kind)
		}
		if r.name == "" || r.exit == 0 || r.http < 400 || names[r.name] {
			t.Errorf("row %d is not filled in or repeats a name: %+v", i, r)
		}
		names[r.name] = true
		if got := ParseKind(r.name); got != r.kind {
			t.Errorf("ParseKind(%q) = %v", r.name, got)
		}
	}
	if got := ParseKind("from the future"); got != Other {
		t.Errorf("unknown name gives %v", got)
	}
	if got := Kind(200).ExitCode(); got != 1 {
		t.Errorf("unknown kind exits with %d", got)
	}
}

func TestKindOfSystemErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, NotFound},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, Permission},
		{fmt.Errorf("write: %w", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), Full},
		{fmt.Errorf("listen: %w", syscall.EADDRINUSE), Busy},
		{fmt.Errorf("fetch: %w", context.Canceled), Canceled},
		{context.DeadlineExceeded, Unavailable},
		{errors.New("odd"), Other},
		{New(Corrupt, "block 3: %w", fs.ErrNotExist), Corrupt},
		{fmt.Errorf("outer: %w", New(Unsafe, "x")), Unsafe},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("KindOf(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

func TestHintsAreCollectedThroughWraps(t *testing.T) {
	base := New(Full, "disk full").Hint("free some space")
	err := WithHint(fmt.Errorf("import: %w", base), "run %s again", "cloudpal share")
	if got, want := HintsOf(err), []string{"run cloudpal share again", "free some space"}; !slices.Equal(got, want) {
		t.Errorf("hints %q, want %q", got, want)
	}
	if KindOf(err) != Full {
		t.Errorf("kind %v", KindOf(err))
	}
	if len(base.Hints) != 1 {
		t.Error("Hint changed its receiver")
	}
	if Wrap(Full, nil) != nil || WithHint(nil, "x") != nil {
		t.Error("a nil error became an error")
	}
}

func TestReportRoundTrip(t *testing.T) {
	in := New(NotFound, "no such file").Hint("look with cloudpal ls")
	b, err := json.Marshal(ReportOf(in))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"type":"error","kind":"not-found","message":"no such file","hints":["look with cloudpal ls"],"exit":3}`
	if string(b) != want {
		t.Errorf("got %s", b)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	out := r.Err()
	if KindOf(out) != NotFound || out.Error() != in.Error() || !slices.Equal(HintsOf(out), in.Hints) {
		t.Errorf("got %#v", out)
	}
}

func TestExitCodesAreListedOnce(t *testing.T) {
	codes := ExitCodes()
	if codes[0].Code != 0 {
		t.Errorf("first is %d", codes[0].Code)
	}
	for i := 1; i < len(codes); i++ {
		if codes[i].Code <= codes[i-1].Code || codes[i].Help == "" {
			t.Errorf("line %d: %+v", i, codes[i])
		}
	}
}
