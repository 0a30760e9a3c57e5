// Package api is the local control API: its types, its handlers and its stream
// of events. The command line uses it through package api/client, and so will
// every other front of the product.
//
// The API is HTTP under /v1, spoken on a Unix socket or in memory. Requests and
// answers are JSON. Whatever takes time answers with a stream of server-sent
// events, each a JSON object whose first member "type" repeats the event's name;
// the last one is "done", or "error" with the members of [fault.Report]. Work
// lives as long as its request: a client that goes away stops it.
//
// Everything that can be asked for is in one table ([Routes]), which the handler and
// the description in docs/api/openapi.json are made from; GET /v1/openapi.json gives
// the latter.
//
// The socket is trusted: whoever can open it acts as its owner. It lies in a
// folder that only the owner can enter. On a TCP port the API stands behind [Guard].
package api
