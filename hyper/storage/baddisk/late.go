package baddisk

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// lateFS lets writes and syncs happen and then says that they failed.
type lateFS struct {
	vfs.FS
	d *Disk
}

type lateFile struct {
	vfs.File
	d *Disk
}

func (fs *lateFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &lateFile{f, fs.d}, nil
}

func (fs *lateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.Create(name, c))
}

func (fs *lateFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return fs.wrap(fs.FS.OpenReadWrite(name, c, o...))
}

func (fs *lateFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.ReuseForWrite(oldname, newname, c))
}

func (f *lateFile) Fd() uintptr { return vfs.InvalidFd }

func (f *lateFile) late(err error) error {
	if err == nil {
		err = f.d.hit(errorfs.OpIsWrite, true)
	}
	return err
}

func (f *lateFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.late(err)
}

func (f *lateFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, f.late(err)
}

func (f *lateFile) SyncData() error { return f.late(f.File.SyncData()) }
func (f *lateFile) Sync() error     { return f.late(f.File.Sync()) }
