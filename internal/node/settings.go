package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// settingsFile holds what a person chose for the data folder, as JSON.
const settingsFile = "settings.json"

// settings are what a person chose. Members that are not known are of a later version
// and get lost when something is changed.
type settings struct {
	Limits api.Limits `json:"limits"`
}

func loadSettings(home string) (s settings, err error) {
	b, err := os.ReadFile(filepath.Join(home, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		if err = json.Unmarshal(b, &s); err == nil {
			err = checkLimits(s.Limits)
		}
		if err != nil {
			return s, fault.New(fault.Corrupt, "the settings in %s: %w", settingsFile, err).Hint("delete %s and choose again", filepath.Join(home, settingsFile))
		}
	}
	return s, err
}

func (s *settings) save(home string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = writeFile(filepath.Join(home, settingsFile), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep the settings: %w", err)
	}
	return nil
}

// Limit has other limits take the place of those that were set, for as long as the
// node runs or until they are set anew, and returns those in force.
func (n *Node) Limit(c api.LimitsRequest) (api.Limits, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to := n.bandwidth.now
	if c.Up != nil {
		to.Up = *c.Up
	}
	if c.Down != nil {
		to.Down = *c.Down
	}
	if err := checkLimits(to); err != nil {
		return to, err
	}
	n.bandwidth.set(to)
	return to, nil
}

// changeLimits implements [api.Backend.Limits].
func (n *Node) changeLimits(to *api.Limits) (api.Limits, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if to == nil {
		return n.bandwidth.now, nil
	}
	if err := checkLimits(*to); err != nil {
		return api.Limits{}, err
	}
	s := settings{Limits: *to}
	if err := s.save(n.opts.Home); err != nil {
		return api.Limits{}, err
	}
	n.bandwidth.set(*to)
	return *to, nil
}
