package main

// loopbackCommand is the first argument that makes this program the starter of a
// measured one in a network of its own.
const loopbackCommand = "in-loopback"
