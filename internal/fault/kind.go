package fault

import (
	"net/http"
	"slices"
)

// Kind says what sort of thing went wrong, from the point of view of the
// person or program that asked.
type Kind uint8

// The kinds. Their texts and exit codes are part of the command line's
// contract: new kinds are added at the end.
const (
	// Other is anything without a better kind: a bug or an environment that
	// gave an unforeseen error.
	Other Kind = iota
	// Usage is a request that can never work as written: a wrong flag, a link
	// with a typo.
	Usage
	// NotFound is a path, version, name or drive that does not exist.
	NotFound
	// Unavailable is data that exists but that nobody reachable can give.
	Unavailable
	// Permission is an operation that the system or the drive does not allow,
	// such as writing to somebody else's drive.
	Permission
	// Corrupt is data that fails verification.
	Corrupt
	// Full is a disk or a quota without space left.
	Full
	// Busy is a resource that another process holds.
	Busy
	// Unsafe is a request that was refused because it would touch what it must
	// not: a path that leaves its destination.
	Unsafe
	// Conflict is two different states that both claim to be the truth: a log
	// signed twice, a file that keeps changing while it is read.
	Conflict
	// Canceled is work that the person or the program stopped.
	Canceled
	// Closing is a node that shuts down. The client asks again elsewhere; a
	// person never sees it.
	Closing
	// Disk is a disk that fails.
	Disk
)

// row is one line of the table.
type row struct {
	kind Kind
	name string
	exit int
	http int
	help string
}

var table = [...]row{
	{Other, "other", 1, http.StatusInternalServerError, "something unexpected went wrong"},
	{Usage, "usage", 2, http.StatusBadRequest, "the command or link is not valid"},
	{NotFound, "not-found", 3, http.StatusNotFound, "no such path, version or drive"},
	{Unavailable, "unavailable", 4, http.StatusGatewayTimeout, "no reachable peer has the data; run the same command again to continue"},
	{Permission, "permission", 5, http.StatusForbidden, "not allowed, for example writing to a drive of somebody else"},
	{Corrupt, "corrupt", 6, http.StatusInternalServerError, "stored or received data is damaged; see cloudpal doctor"},
	{Full, "full", 7, http.StatusInsufficientStorage, "no space left"},
	{Busy, "busy", 8, http.StatusConflict, "another process holds the data folder or the address"},
	{Unsafe, "unsafe", 9, http.StatusUnprocessableEntity, "refused: a path would leave the destination"},
	{Conflict, "conflict", 10, http.StatusConflict, "two states contradict each other, for example a file that keeps changing"},
	{Canceled, "canceled", 130, 499, "interrupted; run the same command again to continue"},
	{Closing, "closing", 1, http.StatusServiceUnavailable, ""},
	{Disk, "disk", 11, http.StatusInternalServerError, "the disk of the data folder failed; what was confirmed before is kept"},
}

// String returns the stable name of the kind, as it appears in JSON.
func (k Kind) String() string { return k.row().name }

// ExitCode returns the exit code of a command that fails with this kind.
func (k Kind) ExitCode() int { return k.row().exit }

// HTTPStatus returns the status of an HTTP answer that fails with this kind.
func (k Kind) HTTPStatus() int { return k.row().http }

func (k Kind) row() row {
	if int(k) >= len(table) {
		return table[Other]
	}
	return table[k]
}

// ParseKind reverses [Kind.String]. Unknown names are Other: a newer node may
// know kinds that this program does not.
func ParseKind(name string) Kind {
	for _, r := range table {
		if r.name == name {
			return r.kind
		}
	}
	return Other
}

// Exit is a line of the exit code table.
type Exit struct {
	Code int
	Name string // of the kind, as in JSON; "done" for 0
	Help string
}

// ExitCodes lists the exit codes that a person can meet, in rising order,
// beginning with 0.
func ExitCodes() []Exit {
	codes := []Exit{{0, "done", "done"}}
	for _, r := range table {
		if r.help != "" {
			codes = append(codes, Exit{r.exit, r.name, r.help})
		}
	}
	slices.SortFunc(codes, func(a, b Exit) int { return a.Code - b.Code })
	return codes
}
