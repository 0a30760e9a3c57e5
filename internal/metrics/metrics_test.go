package metrics

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestNumbersAreWrittenForPrometheus(t *testing.T) {
	m := New(func() (*State, error) {
		return &State{Version: `1 "a\b`, Started: time.UnixMilli(1_770_000_000_500), Peers: map[string]int{"lan": 2}, Sent: 7, DHT: true, Segments: 1 << 40,
			Spaces:  Spaces{States: map[string]int{"running": 3}, Copies: [4]int{0, 1, 2, 0}, LacksOlder: 9, MirrorsOnline: 1},
			Folders: Folders{States: map[string]int{"full": 1}, Pending: 4, Written: 11}}, nil
	})
	done := m.Request("/v1/info")
	m.Request("/v1/info")(200)
	m.Request("")(404)
	var out strings.Builder
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	done(200)
	for _, line := range []string{
		`cloudpal_build_info{version="1 \"a\\b"} 1`, "cloudpal_start_time_seconds 1.7700000005e+09", `cloudpal_peers{path="lan"} 2`, `cloudpal_peers{path="relayed"} 0`,
		"cloudpal_sent_bytes_total 7", "cloudpal_dht_used 1", "cloudpal_dht_online 0", `cloudpal_store_bytes{part="segments"} 1.099511627776e+12`,
		`cloudpal_api_requests_total{route="/v1/info",status="200"} 1`, `cloudpal_api_requests_total{route="other",status="404"} 1`, "cloudpal_api_requests_running 1",
		`cloudpal_spaces{state="running"} 3`, `cloudpal_spaces_by_copies{copies="1"} 1`, `cloudpal_spaces_by_copies{copies="more"} 0`, `cloudpal_space_missing_bytes{of="older"} 9`,
		`cloudpal_space_members_online{kind="mirror"} 1`, `cloudpal_folders{state="full"} 1`, `cloudpal_folders{state="idle"} 0`, `cloudpal_folder_changes{direction="write"} 4`,
		"cloudpal_folder_written_bytes_total 11", "cloudpal_copies_failed 0",
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	if families, err := p.TextToMetricFamilies(strings.NewReader(out.String())); err != nil || len(families) < len(numbers) {
		t.Errorf("%d families, %v", len(families), err)
	}
}

func TestANodeThatCannotBeReadStillTellsTheRest(t *testing.T) {
	m := New(func() (*State, error) { return nil, errors.New("closed") })
	var out strings.Builder
	if err := m.Write(&out); err == nil || !strings.Contains(out.String(), "go_goroutines") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestNumbersAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/operations/service.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	m := New(func() (*State, error) { return &State{}, nil })
	m.Request("")(200)
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		name, ok := strings.CutPrefix(line, "# TYPE ")
		if name, _, _ = strings.Cut(name, " "); ok && strings.HasPrefix(name, "cloudpal_") && !strings.Contains(string(b), "`"+name+"`") {
			t.Errorf("docs/operations/service.md does not tell of %s", name)
		}
	}
}
