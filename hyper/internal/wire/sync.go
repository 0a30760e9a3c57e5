package wire

import "github.com/tradle/cloudpal/hyper/compact"

// Sync tells the sender's state of the log and what it knows of the receiver's.
//
//	uint flags, uint fork, uint length, uint remote length
type Sync struct {
	Fork   uint64
	Length uint64
	// RemoteLength acknowledges the receiver's length: the last one received
	// if both are on the same fork, else 0.
	RemoteLength uint64

	CanUpgrade  bool // the sender can prove growth from RemoteLength on
	Uploading   bool // the sender answers requests
	Downloading bool // the sender wants data
	HasManifest bool // the sender can send the manifest
	AllowPush   bool // the sender takes data it did not request
}

const (
	syncCanUpgrade = 1 << iota
	syncUploading
	syncDownloading
	syncHasManifest
	syncAllowPush
)

// AppendTo appends the encoded message.
func (m *Sync) AppendTo(b []byte) []byte {
	flags := bit(m.CanUpgrade, syncCanUpgrade) | bit(m.Uploading, syncUploading) | bit(m.Downloading, syncDownloading) |
		bit(m.HasManifest, syncHasManifest) | bit(m.AllowPush, syncAllowPush)
	b = compact.AppendUint(b, flags)
	b = compact.AppendUint(b, m.Fork)
	b = compact.AppendUint(b, m.Length)
	return compact.AppendUint(b, m.RemoteLength)
}

// DecodeSync decodes a Sync.
func DecodeSync(body []byte) (Sync, error) {
	r := compact.NewReader(body)
	flags := r.Uint()
	m := Sync{
		Fork: r.Uint(), Length: r.Uint(), RemoteLength: r.Uint(),
		CanUpgrade:  flags&syncCanUpgrade != 0,
		Uploading:   flags&syncUploading != 0,
		Downloading: flags&syncDownloading != 0,
		HasManifest: flags&syncHasManifest != 0,
		AllowPush:   flags&syncAllowPush != 0,
	}
	return m, result("sync", &r)
}
