package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// connectFlags say how to find peers.
type connectFlags struct {
	listen, peers []string
	mirrors       []string
	timeout       time.Duration
	swarm         swarmFlags
	lan           lanFlags
}

func (c *connectFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&c.listen, "listen", nil, "accept peers at this `ADDRESS`, such as tcp://127.0.0.1:0 (repeatable)")
	f.StringArrayVar(&c.peers, "peer", nil, "connect to the peer at this `ADDRESS`, such as tcp://192.168.1.7:4100 (repeatable)")
	f.StringArrayVar(&c.mirrors, "mirror", nil, "use the mirror with this public `KEY`, see \"mirror\" (repeatable; default $"+mirrorEnv+")")
	c.swarm.add(f)
	c.lan.add(f)
}

// addTimeout adds how long to wait for peers.
func (c *connectFlags) addTimeout(f *pflag.FlagSet) {
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "give up after this `DURATION` without progress, such as 30s or 5m; 0 is never")
}

func (c *connectFlags) request() api.Connect {
	swarm := c.swarm.request()
	mirrors, _ := listOf(c.mirrors, mirrorEnv)
	return api.Connect{Listen: c.listen, Peers: c.peers, Mirrors: mirrors, Patience: c.timeout, Swarm: swarm, LAN: c.lan.request(nil, swarm)}
}

// stateFlags pick a version.
type stateFlags struct {
	version  uint64
	at       string
	snapshot string
}

func (s *stateFlags) add(f *pflag.FlagSet) {
	f.Uint64Var(&s.version, "version", 0, "the version with this number `N`, as \"log\" lists them")
	f.StringVar(&s.at, "at", "", "the version that was current at this `TIME`: 2026-03-01, \"2026-03-01 12:30\", RFC 3339, or an age such as 36h or 2d")
	f.StringVar(&s.snapshot, "snapshot", "", "the version of a space that \"snapshot take\" gave this `NAME`")
}

// none tells whether no version was picked.
func (s *stateFlags) none() bool { return *s == stateFlags{} }

func (s *stateFlags) request() (api.State, error) {
	st := api.State{Version: s.version, Snapshot: s.snapshot}
	if s.version != 0 && (s.at != "" || s.snapshot != "") || s.at != "" && s.snapshot != "" {
		return st, fault.New(fault.Usage, "--version, --at and --snapshot exclude each other")
	}
	if s.at == "" {
		return st, nil
	}
	t, err := parseTime(s.at, time.Now())
	st.At = t
	return st, err
}

var layouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"}

// parseTime reads a moment: a time, a day, which means its end, or an age.
func parseTime(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	if d, err := parseSpan(s); err == nil {
		return now.Add(-d), nil
	}
	for _, l := range layouts {
		if t, err := time.ParseInLocation(l, s, time.Local); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("2006-01-02", s, time.Local); err == nil {
		return t.AddDate(0, 0, 1).Add(-time.Nanosecond), nil
	}
	return time.Time{}, fault.New(fault.Usage, "%q is not a time", s).
		Hint(`write it as 2026-03-01, "2026-03-01 12:30", 2026-03-01T12:30:00Z, or as an age: 36h or 2d`)
}

// parseSpan reads a length of time that is not negative; beside what Go has there are
// days and weeks, of 24 and 168 hours.
func parseSpan(s string) (time.Duration, error) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, err := strconv.ParseUint(strings.TrimSuffix(s, unit), 10, 16); err == nil && strings.HasSuffix(s, unit) {
			return time.Duration(n) * length, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fault.New(fault.Usage, "%q is no length of time", s).Hint("write it as 30m, 48h, 2d or 1w")
	}
	return d, nil
}

// span is a flag for a length of time.
type span time.Duration

func (v *span) Set(s string) (err error) {
	d, err := parseSpan(s)
	*v = span(d)
	return err
}

func (v *span) Type() string { return "TIME" }

func (v *span) String() string {
	d := time.Duration(*v)
	if days := d / (24 * time.Hour); days > 0 && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(days)) + "d"
	}
	return d.String()
}

// addExpires adds how long an invite is good, and its default.
func addExpires(f *pflag.FlagSet, d *time.Duration, usual time.Duration) {
	*d = usual
	f.Var((*span)(d), "expires", "how long the invite is good: a `TIME` such as 48h or 2d; 0 is for ever")
}

// target makes a target of a reference.
func target(ref string, s *stateFlags) (api.Target, error) {
	dir, err := here()
	if err != nil {
		return api.Target{}, err
	}
	st, err := s.request()
	return api.Target{Ref: ref, Dir: dir, State: st}, err
}
