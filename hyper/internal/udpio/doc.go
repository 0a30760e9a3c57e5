// Package udpio sends and receives UDP datagrams in batches, with as few system
// calls as the kernel allows.
//
// Callers deal in single datagrams. Where the kernel can send a run of equal
// datagrams as one (UDP_SEGMENT) and receive it as one (UDP_GRO), runs are found
// and taken apart here; where it cannot, or stops to, nothing changes but speed.
// A datagram that cannot be sent is lost, as it might be on the way: only a
// closed socket is an error.
//
// Only IPv4 is spoken. Datagrams carry the don't-fragment bit where the system
// allows it, so that a sender can find the size of the path.
package udpio
