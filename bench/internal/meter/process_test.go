package meter

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

func TestStatusOfAProcess(t *testing.T) {
	parent, cpu, err := parseStat([]byte("42 (a) (strange 1 name) S 7 42 42 0 -1 4194304 100 0 0 0 150 50 20 5 20 0 1 0 100 1000 10 18446744073709551615"))
	if err != nil || parent != 7 || cpu != 2.25 {
		t.Errorf("parent %d, %v s, %v", parent, cpu, err)
	}
	for _, bad := range []string{"", "42 (a", "42 (a) S x 1 1 0 0 0 0 0 0 0 1 1 1 1 1"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a status", bad)
		}
	}
}

func TestBytesOfADevice(t *testing.T) {
	dev := []byte("Inter-|   Receive\n face |bytes\n    lo:  100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n  eth0: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n")
	if n, err := deviceBytes(dev, "lo"); n != 200 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := deviceBytes(dev, "lo0"); err == nil {
		t.Error("a device that is not there")
	}
}

func TestDescendantsCount(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	if u, err := UsedBy(os.Getpid()); err != nil || u.RSS == 0 || u.PeakRSS == 0 {
		t.Fatalf("%+v, %v", u, err)
	}
	// A grandchild works, says so and waits.
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; read x'; :`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 4)); err != nil {
		t.Error(err)
	}
	if u, err := UsedBy(cmd.Process.Pid); err != nil || u.CPU < 0.05 {
		t.Errorf("%+v, %v", u, err)
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := UsedBy(cmd.Process.Pid); err == nil {
		t.Error("a process that has ended uses something")
	}
}
