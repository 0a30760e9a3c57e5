package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// syncthing makes a folder appear on the second of two Syncthing devices that are connected
// and idle. The clock runs from when the folder is added on the first one, while the second
// has it already, empty, until the second says that it has everything. With --prepared the
// first has looked at the folder before, and the clock runs from when it is added on the
// second. All settings that matter for speed are Syncthing's own. It prints the line
// syncthing.
func syncthing(ctx context.Context, o IO, args []string) (err error) {
	f := o.flags("syncthing")
	src := f.String("src", "", "`folder` to sync, which is not changed")
	prepared := f.Bool("prepared", false, "the first device has the folder already, and the second joins in")
	if err := f.Parse(args); err != nil {
		return err
	}
	tmp, remove, err := tempDir("syncthing")
	if err != nil {
		return err
	}
	defer remove()
	var pair [2]*device
	for i, name := range []string{"a", "b"} {
		if pair[i], err = startDevice(ctx, filepath.Join(tmp, name)); err != nil {
			return err
		}
		defer pair[i].stop()
	}
	a, b := pair[0], pair[1]
	if err := errors.Join(a.meet(ctx, b), b.meet(ctx, a), b.connected(ctx, a)); err != nil {
		return err
	}
	t, err := linkTree(*src, a.dir)
	if err != nil {
		return err
	}
	first, second, has := b, a, 0 // in which order they begin, and what the first has then
	if *prepared {
		first, second, has = a, b, t.files
	}
	if err := errors.Join(first.add(ctx, second), first.complete(ctx, has)); err != nil {
		return err
	}
	return firstSync(ctx, o, "syncthing", t, *prepared, a.cmd.Process.Pid, b.cmd.Process.Pid, syncWork{
		run:   func() error { return errors.Join(second.add(ctx, first), b.complete(ctx, t.files)) },
		check: func() error { return sameTrees(a.dir, b.dir) },
	})
}

// device is a running Syncthing.
type device struct {
	dir    string // the folder
	cmd    *exec.Cmd
	text   bytes.Buffer
	gui    string // URL of its API
	listen string
	id     string
}

// apiKey is that of both devices.
const apiKey = "bench"

func startDevice(ctx context.Context, dir string) (*device, error) {
	home := filepath.Join(dir, "home")
	if out, err := exec.CommandContext(ctx, "syncthing", "generate", "--home="+home, "--no-default-folder").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("syncthing, from the package of that name: %w: %s", err, tailOf(out))
	}
	d := &device{dir: filepath.Join(dir, "folder")}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return nil, err
	}
	gui, err := freePort()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("127.0.0.1:%d", gui)
	d.gui, d.listen = "http://"+at+"/rest/", fmt.Sprintf("tcp://127.0.0.1:%d", port)
	d.cmd = exec.CommandContext(ctx, "syncthing", "serve", "--home="+home, "--no-browser", "--gui-address="+at, "--gui-apikey="+apiKey)
	d.cmd.Env = append(os.Environ(), "STNODEFAULTFOLDER=1", "STNOUPGRADE=1")
	d.cmd.Stdout, d.cmd.Stderr = &d.text, &d.text
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	var status struct {
		MyID string `json:"myID"`
	}
	err = d.until(ctx, "up", func() (bool, error) {
		return d.call(ctx, http.MethodGet, "system/status", nil, &status) == nil && status.MyID != "", nil
	})
	d.id = status.MyID
	if err == nil {
		// Nobody else is found, and nothing is measured but this.
		err = d.call(ctx, http.MethodPatch, "config/options", map[string]any{
			"listenAddresses": []string{d.listen}, "globalAnnounceEnabled": false, "localAnnounceEnabled": false, "relaysEnabled": false,
			"natEnabled": false, "crashReportingEnabled": false, "urAccepted": -1, "autoUpgradeIntervalH": 0, "reconnectionIntervalS": 1,
		}, nil)
	}
	if err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// stop ends the device. It may be called twice.
func (d *device) stop() {
	d.cmd.Process.Signal(os.Interrupt) // it may have ended
	d.cmd.Wait()
}

// call sends a request to the API.
func (d *device) call(ctx context.Context, method, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, d.gui+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("X-API-Key", apiKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("syncthing answers %s to %s %s", res.Status, method, path)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(answer)
}

// until waits for something of the device.
func (d *device) until(ctx context.Context, what string, ok func() (bool, error)) error {
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("syncthing is not %s: %w: %s", what, err, tailOf(d.text.Bytes()))
		}
	}
}

// meet makes other known to the device.
func (d *device) meet(ctx context.Context, other *device) error {
	return d.call(ctx, http.MethodPut, "config/devices/"+other.id, map[string]any{"deviceID": other.id, "addresses": []string{other.listen}}, nil)
}

func (d *device) connected(ctx context.Context, other *device) error {
	return d.until(ctx, "connected", func() (bool, error) {
		var answer struct {
			Connections map[string]struct {
				Connected bool `json:"connected"`
			} `json:"connections"`
		}
		err := d.call(ctx, http.MethodGet, "system/connections", nil, &answer)
		return answer.Connections[other.id].Connected, err
	})
}

// add adds the folder, shared with other.
func (d *device) add(ctx context.Context, other *device) error {
	return d.call(ctx, http.MethodPut, "config/folders/bench", map[string]any{
		"id": "bench", "path": d.dir, "devices": []map[string]string{{"deviceID": d.id}, {"deviceID": other.id}},
	}, nil)
}

// complete waits until the folder has this number of files and needs nothing.
func (d *device) complete(ctx context.Context, files int) error {
	return d.until(ctx, "complete", func() (bool, error) {
		var s struct {
			State          string `json:"state"`
			LocalFiles     int    `json:"localFiles"`
			NeedTotalItems int    `json:"needTotalItems"`
			Errors         int    `json:"errors"`
		}
		if d.call(ctx, http.MethodGet, "db/status?folder=bench", nil, &s) != nil {
			return false, nil // the folder is being added
		}
		return s.State == "idle" && s.LocalFiles == files && s.NeedTotalItems == 0 && s.Errors == 0, nil
	})
}

// tailOf is the end of a text.
func tailOf(b []byte) []byte {
	b = bytes.TrimSpace(b)
	return b[max(0, len(b)-2000):]
}
