// Package client calls the local control API of package api.
//
// A [Client] does not know where its node runs: [Socket] reaches one in another
// process, [Memory] one in this process, through the same http.Handler. Errors
// are faults with the kind, message and hints that the node gave them; a node
// that goes away in the middle of an answer gives [fault.Closing].
package client
