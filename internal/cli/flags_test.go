package cli

import (
	"testing"
	"time"
)

func TestSpansOfTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "90s": 90 * time.Second, "48h": 48 * time.Hour, "2d": 48 * time.Hour, "1w": 168 * time.Hour} {
		var v span
		if err := v.Set(text); err != nil || time.Duration(v) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(v), err)
		}
		if again := v.String(); v.Set(again) != nil || time.Duration(v) != want {
			t.Errorf("%s is shown as %s", text, again)
		}
	}
	for _, text := range []string{"", "soon", "-1h", "-2d", "d", "99999999d", "1.5d"} {
		var v span
		if err := v.Set(text); err == nil {
			t.Errorf("%q is taken for %v", text, time.Duration(v))
		}
	}
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	if at, err := parseTime("2d", now); err != nil || !at.Equal(now.AddDate(0, 0, -2)) {
		t.Errorf("2 days ago is %v, %v", at, err)
	}
}
