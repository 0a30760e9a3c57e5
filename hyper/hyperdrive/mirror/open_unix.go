//go:build unix

package mirror

import "syscall"

// openFlags make opening fail on a link and not wait on a pipe.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
