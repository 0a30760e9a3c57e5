package spacefs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/space"
)

// Settings of a space that are about its files: how many days what was deleted stays in
// the trash, and versions that were replaced in the history. Decimal numbers.
const (
	SettingTrashDays   = "files-trash-days"   // not set: DefaultTrashDays
	SettingHistoryDays = "files-history-days" // not set: for ever
)

// DefaultTrashDays is how many days what was deleted can be restored.
const DefaultTrashDays = 30

const day = 24 * time.Hour

// maxDays bounds settings.
const maxDays = 100 * 365

// days reads a setting; ok is false if it is not set.
func (f *Files) days(ctx context.Context, name string) (d time.Duration, ok bool, err error) {
	b, err := f.space.Setting(ctx, name)
	if err != nil || len(b) == 0 {
		return 0, false, err
	}
	n, err := strconv.ParseUint(string(b), 10, 32)
	if err != nil || n > maxDays {
		return 0, false, fault.New(fault.Usage, "setting %s is %.20q, no number of days", name, b)
	}
	return time.Duration(n) * day, true, nil
}

// retention returns how long things stay in the trash.
func (f *Files) retention(ctx context.Context) (time.Duration, error) {
	d, ok, err := f.days(ctx, SettingTrashDays)
	if !ok {
		d = DefaultTrashDays * day
	}
	return d, err
}

// SetDays changes SettingTrashDays or SettingHistoryDays for all members.
func (f *Files) SetDays(ctx context.Context, name string, days int) error {
	if name != SettingTrashDays && name != SettingHistoryDays || days < 0 || days > maxDays {
		return fault.New(fault.Usage, "%d days for %q: 0 to %d for %s or %s", days, name, maxDays, SettingTrashDays, SettingHistoryDays)
	}
	return f.space.SetSetting(ctx, name, strconv.AppendInt(nil, int64(days), 10))
}

// emptyTrash drops what has been in the trash for long enough, and old versions if the
// space says so. Of all devices that write the first one does it: those that are always
// on come first. Each next one does so a day later, so that one that is away is no harm.
func (f *Files) emptyTrash(ctx context.Context) error {
	rank, err := f.rank(ctx)
	if err != nil || rank < 0 || time.Now().Before(f.nextPurge) {
		return err
	}
	keep, err := f.retention(ctx)
	if err != nil {
		return err
	}
	v, release := f.View()
	defer release()
	for d, err := range v.Trash(ctx) {
		if err != nil {
			return err
		}
		if due := d.At.Add(keep + time.Duration(rank)*day); time.Now().Before(due) {
			break
		}
		// Snapshots may keep what is due, so that it is due for ever.
		f.nextPurge = time.Now().Add(min(keep/24, day))
		if err := f.purge(ctx, filetree.Change{Action: filetree.Purge, Retention: keep}); err != nil {
			return fmt.Errorf("empty the trash: %w", err)
		}
		break
	}
	return f.prune(ctx, v, rank)
}

// purge writes a change as long as it has an effect: each drops a bounded number.
func (f *Files) purge(ctx context.Context, c filetree.Change) error {
	for {
		before, err := f.kept(ctx)
		if err != nil {
			return err
		}
		if _, err := f.Commit(ctx, []filetree.Change{c}); err != nil {
			return err
		}
		if after, err := f.kept(ctx); err != nil || after == 0 || after >= before {
			return err
		}
	}
}

// kept returns how many versions are kept that are not in the tree.
func (f *Files) kept(ctx context.Context) (uint64, error) {
	v, release := f.View()
	defer release()
	n, err := v.Count(ctx)
	return n.Trash + n.History, err
}

// prune drops old versions if the space says so, once a day.
func (f *Files) prune(ctx context.Context, v *filetree.View, rank int) error {
	keep, ok, err := f.days(ctx, SettingHistoryDays)
	if err != nil || !ok || time.Now().Before(f.nextPrune) {
		return err
	}
	f.nextPrune = time.Now().Add(day)
	n, err := v.Count(ctx)
	if err != nil || n.History == 0 || rank > 0 {
		return err
	}
	if err := f.purge(ctx, filetree.Change{Action: filetree.Prune, Retention: keep}); err != nil {
		return fmt.Errorf("drop old versions: %w", err)
	}
	return nil
}

// rank returns the place of this device among those that write; -1 if it does not.
func (f *Files) rank(ctx context.Context) (int, error) {
	if !f.writable(ctx) {
		return -1, nil
	}
	devices, err := f.space.Devices(ctx)
	if err != nil {
		return -1, err
	}
	devices = slices.DeleteFunc(devices, func(d space.Device) bool { return d.Removed })
	slices.SortFunc(devices, func(a, b space.Device) int {
		if a.AlwaysOn != b.AlwaysOn {
			if a.AlwaysOn {
				return -1
			}
			return 1
		}
		return cmp.Compare(string(a.Log[:]), string(b.Log[:]))
	})
	return slices.IndexFunc(devices, func(d space.Device) bool { return d.Self }), nil
}

// EmptyTrash drops what is in the trash at a path and below, all for "", without waiting
// for the days of the setting. The contents are freed on all devices.
func (f *Files) EmptyTrash(ctx context.Context, path string) error {
	return f.purge(ctx, filetree.Change{Action: filetree.Purge, Path: path})
}
