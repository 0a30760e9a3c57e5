package spacefs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

// Published is a folder of the files that is also a drive, which whoever knows its key
// can read, and nobody but this device writes. It has contents of its own, not
// encrypted, and no history.
type Published struct {
	// Path is the folder, or a file; "" is all.
	Path string
	// Key is that of the drive.
	Key hypercrypto.Key
	// Problem is why the drive is not up to date; nil if it is, or will be soon.
	Problem error
}

// published are the drives of this device.
type published struct {
	failed error // why the list could not be read

	mu   sync.Mutex // guards list and the drives' fields; not held across I/O but opening
	list []*publication

	ending int                // who wait to unpublish; guarded by mu, too
	pause  context.CancelFunc // lets them in: ends the update that runs, nil if none does
}

type publication struct {
	path, id string
	drive    *hyperdrive.Drive
	problem  error

	// The publishing goroutine's.
	mark      filetree.Mark
	done      bool
	collected time.Time
}

const (
	publishedData = "cloudpal/published" // next to the own blob log: what follows
	publishTick   = time.Minute
	publishWait   = time.Minute // for a content that only others have
	collectEvery  = time.Hour
	maxPublished  = 1000
)

// encode returns
//
//	array of { string path, string id }
func (p *published) encode() []byte {
	b := compact.AppendUint(nil, uint64(len(p.list)))
	for _, x := range p.list {
		b = compact.AppendString(compact.AppendString(b, x.path), x.id)
	}
	return b
}

func decodePublished(b []byte) (list []*publication, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := compact.NewReader(b)
	for range r.Count(2) {
		list = append(list, &publication{path: r.String(), id: r.String()})
	}
	return list, r.Err()
}

// loadPublished opens the drives that were published before.
func (f *Files) loadPublished(ctx context.Context) error {
	b, err := f.space.BlobLog().UserData(publishedData)
	if err != nil {
		return err
	}
	list, err := decodePublished(b)
	if err != nil {
		return fmt.Errorf("read the list of published folders: %w", err)
	}
	for _, p := range list {
		if p.drive, err = f.openDrive(ctx, p.id); err != nil {
			return err // what was opened is in the list
		}
		f.published.list = append(f.published.list, p)
	}
	return nil
}

func (f *Files) openDrive(ctx context.Context, id string) (*hyperdrive.Drive, error) {
	d, err := hyperdrive.Open(ctx, f.opts.Drives.Namespace("cloudpal/published/"+id), nil)
	if err != nil {
		return nil, fmt.Errorf("open the drive of a published folder: %w", err)
	}
	return d, nil
}

// Publish makes a read-only drive of a folder, or a file, and keeps it up to date from
// now on. A path that is published already keeps its drive.
func (f *Files) Publish(ctx context.Context, path string) (Published, error) {
	if f.opts.Drives == nil {
		return Published{}, fault.New(fault.Usage, "this device publishes nothing")
	}
	if err := f.published.failed; err != nil {
		return Published{}, err
	}
	if path != "" {
		if _, ok, err := f.lookup(ctx, path); err != nil {
			return Published{}, err
		} else if !ok {
			return Published{}, fault.New(fault.NotFound, "there is no %q in space %q", path, f.space.Name())
		}
	}
	f.published.mu.Lock()
	defer f.published.mu.Unlock()
	for _, p := range f.published.list {
		if p.path == path {
			return p.public(), nil
		}
	}
	if len(f.published.list) >= maxPublished {
		return Published{}, fault.New(fault.Usage, "%d folders are published, no more are possible", maxPublished)
	}
	p := &publication{path: path, id: rand.Text()}
	var err error
	if p.drive, err = f.openDrive(ctx, p.id); err != nil {
		return Published{}, err
	}
	f.published.list = append(f.published.list, p)
	if err := f.storePublished(); err != nil {
		f.published.list = f.published.list[:len(f.published.list)-1]
		return Published{}, errors.Join(err, p.drive.Close())
	}
	f.nudge()
	f.announce()
	return p.public(), nil
}

func (f *Files) lookup(ctx context.Context, path string) (filetree.Entry, bool, error) {
	v, release := f.View()
	defer release()
	return v.Lookup(ctx, path)
}

func (f *Files) storePublished() error {
	if err := f.space.BlobLog().SetUserData(publishedData, f.published.encode()); err != nil {
		return fmt.Errorf("remember published folders: %w", err)
	}
	return nil
}

func (p *publication) public() Published {
	return Published{Path: p.path, Key: p.drive.Key(), Problem: p.problem}
}

// publishedDrives returns the drives of what is published from this device, by their ids.
func (f *Files) publishedDrives() (ids []string) {
	f.published.mu.Lock()
	defer f.published.mu.Unlock()
	for _, p := range f.published.list {
		ids = append(ids, p.id)
	}
	return ids
}

// Published returns what is published from this device.
func (f *Files) Published() (list []Published) {
	f.published.mu.Lock()
	defer f.published.mu.Unlock()
	for _, p := range f.published.list {
		list = append(list, p.public())
	}
	return list
}

// Unpublish ends keeping a drive up to date and deletes it here. What others fetched
// they have.
func (f *Files) Unpublish(ctx context.Context, path string) error {
	f.published.mu.Lock()
	f.published.ending++
	if f.published.pause != nil {
		f.published.pause() // it may wait for contents that nobody has
	}
	f.published.mu.Unlock()
	f.publishing.Lock() // nobody writes to the drive
	defer f.publishing.Unlock()
	f.published.mu.Lock()
	defer f.published.mu.Unlock()
	f.published.ending--
	defer f.nudge()
	i := slices.IndexFunc(f.published.list, func(p *publication) bool { return p.path == path })
	if i < 0 {
		if path == "" {
			return fault.New(fault.NotFound, "the space as a whole is not published")
		}
		return fault.New(fault.NotFound, "%q is not published", path)
	}
	p := f.published.list[i]
	f.published.list = slices.Delete(f.published.list, i, i+1)
	f.announce()
	return errors.Join(f.storePublished(), p.drive.Purge(ctx))
}

// publish brings all drives up to date.
func (f *Files) publish(ctx context.Context) error {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.published.mu.Lock()
	list := slices.Clone(f.published.list)
	if f.published.ending > 0 {
		list = nil // it goes on afterwards
	}
	f.published.pause = cancel
	f.published.mu.Unlock()
	defer func() {
		f.published.mu.Lock()
		defer f.published.mu.Unlock()
		f.published.pause = nil
	}()
	if len(list) == 0 {
		return nil
	}
	v, release := f.View()
	defer release()
	n, err := v.Count(ctx)
	if err != nil {
		return err
	}
	mark, err := v.Mark(ctx, n.Ops)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range list {
		if p.done && p.mark == mark {
			continue
		}
		u := &update{f: f, v: v, p: p, batch: p.drive.Batch()}
		err := u.run(ctx)
		if ctx.Err() != nil {
			p.done = false
			return context.Cause(ctx)
		}
		p.done, p.mark = err == nil, mark
		f.published.mu.Lock()
		p.problem = err
		f.published.mu.Unlock()
		if err != nil {
			errs = append(errs, fmt.Errorf("publish %q: %w", p.path, err))
		}
	}
	return errors.Join(errs...)
}

// update is one update of a drive.
type update struct {
	f     *Files
	v     *filetree.View
	p     *publication
	batch *hyperdrive.Batch
	freed bool // contents were replaced or removed
}

func (u *update) run(ctx context.Context) error {
	defer u.batch.Close()
	before := make(map[string]*hyperdrive.Entry)
	for e, err := range u.p.drive.List(ctx, "/") {
		if err != nil {
			return err
		}
		before[e.Path] = e
	}
	var missing error // what cannot be read now keeps the rest from nothing
	for e, err := range u.entries(ctx) {
		if err != nil {
			return err
		}
		name := u.name(e.Path)
		old := before[name]
		if hyperdrive.ValidPath(name) {
			delete(before, name)
			if err := u.put(ctx, name, e, old); err != nil {
				if ctx.Err() != nil {
					return err
				}
				missing = fmt.Errorf("%q: %w", e.Path, err)
			}
		}
	}
	for name := range before {
		u.freed = true
		if err := u.batch.Del(name); err != nil {
			return err
		}
	}
	if u.batch.Len() > 0 {
		if err := u.batch.Flush(ctx); err != nil {
			return err
		}
	}
	if u.freed && time.Since(u.p.collected) > collectEvery {
		u.p.collected = time.Now()
		if _, err := u.p.drive.Collect(ctx); err != nil {
			return err
		}
	}
	return missing
}

// entries yields what is published.
func (u *update) entries(ctx context.Context) func(yield func(filetree.Entry, error) bool) {
	return func(yield func(filetree.Entry, error) bool) {
		if u.p.path != "" {
			e, ok, err := u.v.Lookup(ctx, u.p.path)
			if err != nil || ok && e.Kind != filetree.Dir {
				yield(e, err)
				return
			}
			if !ok {
				return
			}
		}
		for e, err := range u.v.Walk(ctx, u.p.path) {
			if err == nil && e.Kind == filetree.Dir {
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// name returns the path in the drive.
func (u *update) name(path string) string {
	switch rel, below := strings.CutPrefix(path, u.p.path+"/"); {
	case u.p.path == "":
		return "/" + path
	case below:
		return "/" + rel
	}
	path = "/" + path
	return path[strings.LastIndexByte(path, '/'):]
}

// metadata is what an entry of the drive has beside what all have.
type metadata struct {
	// Hash is that of the content in the space.
	Hash string `json:"hash"`
}

// put writes an entry if the drive has another.
func (u *update) put(ctx context.Context, name string, e filetree.Entry, old *hyperdrive.Entry) error {
	if e.Kind == filetree.Symlink {
		if old != nil && old.Linkname == e.Target {
			return nil
		}
		u.freed = u.freed || old != nil
		return u.batch.Symlink(name, e.Target, &hyperdrive.PutOptions{ModTime: e.Modified})
	}
	o := &hyperdrive.PutOptions{Executable: e.Mode&0o111 != 0, Metadata: metadata{e.Hash.String()}, ModTime: e.Modified}
	if old != nil && !old.IsLink() && old.Executable == o.Executable && old.ModTime().Sub(e.Modified).Abs() < time.Millisecond { // drives have no nanoseconds
		var m metadata
		if json.Unmarshal(old.Metadata, &m) == nil && m.Hash == e.Hash.String() {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, publishWait+time.Duration(e.Size/publishRate)*time.Second)
	defer cancel()
	r, err := u.f.Open(ctx, e)
	if err != nil {
		return err
	}
	defer r.Close()
	u.freed = u.freed || old != nil
	return u.batch.PutFrom(ctx, name, r, o)
}

// publishRate is how fast contents have to come, in bytes per second.
const publishRate = 64 << 10
