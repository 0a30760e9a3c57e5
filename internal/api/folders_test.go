package api

import (
	"testing"
	"time"
)

// Whoever follows a folder hears when it was looked at for the first time, since nothing is
// known to be equal before, and not of each later time.
func TestTheFirstScanOfAFolderIsReported(t *testing.T) {
	before := SyncFolder{State: "idle"}
	first, later := before, before
	first.LastScan = time.Unix(1, 0)
	later.LastScan = time.Unix(2, 0)
	if folderText(&before) == folderText(&first) || folderText(&first) != folderText(&later) {
		t.Error(folderText(&before), folderText(&first), folderText(&later))
	}
}
