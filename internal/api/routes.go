package api

import (
	"context"
	"net/http"
	"reflect"
	"runtime"
	"strings"

	docs "github.com/tradle/cloudpal/docs/api"
)

// Route is one thing that the API can be asked for: what the handler serves, and what
// its description is made of.
type Route struct {
	Method, Path string
	// Request is a zero value of what the request's body holds, nil for none. Its doc
	// comment is that of the route.
	Request any
	// Events are the names of the events of the answer, besides those that end it.
	// They are described by [Events].
	Events []string
	// Answer is a zero value of the answer, and ContentType its type, where that is
	// not a stream of events. About says what it is if Request does not.
	Answer      any
	ContentType string
	About       string
	// Handler is the name of the method that answers.
	Handler string

	serve http.HandlerFunc
}

// Routes returns everything that the API can be asked for.
func Routes() []Route { return (&handler{}).routes() }

// routes is the table of the API.
func (h *handler) routes() []Route {
	joins := []string{TypePeer, TypeListening}
	kept := append([]string{TypeMirrored}, joins...)
	return []Route{
		{Method: "GET", Path: "/v1/info", Answer: Info{}, ContentType: "application/json", About: "Describes the node.", Handler: "info", serve: h.info},
		{Method: "GET", Path: "/v1/openapi.json", Answer: map[string]any{}, ContentType: "application/json", About: "This description.", Handler: "openAPI", serve: h.openAPI},
		{Method: "GET", Path: "/metrics", Answer: "", ContentType: "text/plain", About: "The node's metrics in the text format of Prometheus.", Handler: "metrics", serve: h.metrics},
		{Method: "POST", Path: "/v1/content", Request: ContentRequest{}, Answer: []byte{}, ContentType: "application/octet-stream", Handler: "content", serve: h.content},
		{Method: "POST", Path: "/v1/bundle", Request: BundleRequest{}, Answer: []byte{}, ContentType: "application/gzip", Handler: "bundle", serve: h.bundle},
		post("/v1/status", h.status, TypeSpaceStatus),
		post("/v1/limits", h.limits, TypeLimits),
		post("/v1/drives", h.drives, TypeDrive),
		post("/v1/list", h.list, with(joins, TypeEntry)...),
		post("/v1/history", h.history, with(joins, TypeVersion)...),
		post("/v1/diff", h.diff, with(joins, TypeChange)...),
		post("/v1/share", h.share, with(kept, TypeChange, TypeProgress, TypeWarning, TypeUpdated, TypeShared)...),
		post("/v1/get", h.get, with(joins, TypeProgress, TypeWarning, TypeGot)...),
		post("/v1/restore", h.restore, TypeRestored, TypeKept),
		post("/v1/serve", h.serve, with(joins, TypeServing)...),
		post("/v1/seed", h.seed, with(kept, TypeSeeding)...),
		post("/v1/mirror", h.mirror, with([]string{TypePeer}, TypeMirroring, TypeMirrorStats)...),
		post("/v1/unmirror", h.unmirror, with(joins, TypeUnmirrored)...),
		post("/v1/bases", h.bases, TypeBase),
		post("/v1/base/create", h.baseCreate, TypeBase),
		post("/v1/base/join", h.baseJoin, with(joins, TypeBase, TypeMet, TypeWarning, TypeProgress, TypeCode)...),
		post("/v1/base/append", h.baseAppend, TypeBase),
		post("/v1/base/view", h.baseView, with(joins, TypePair, TypeBase)...),
		post("/v1/base/members", h.baseMembers, with(joins, TypeMember)...),
		post("/v1/base/invite", h.baseInvite, with(joins, TypeInvited, TypeJoined, TypeCode, TypeMet, TypeWarning, TypeProgress)...),
		post("/v1/spaces", h.spaces, TypeSpace),
		post("/v1/space/create", h.createSpace, TypeSpace),
		post("/v1/space/invite", h.invite, with(joins, TypeInvited, TypeCode, TypeMet, TypeWarning, TypeProgress, TypePerson)...),
		post("/v1/space/invites", h.invitations, TypeInvitation),
		post("/v1/space/members", h.members, with(joins, TypePerson, TypeDevice)...),
		post("/v1/space/set", h.setSpace, TypeSpace),
		post("/v1/space/add-mirror", h.addMirror, TypeSpace),
		post("/v1/space/copies", h.copies, TypeSpaceFiles, TypeCopy, TypeWarning),
		post("/v1/space/keep", h.keepSpace, TypeSpaceFiles),
		post("/v1/space/link", h.spaceLink, TypeSpaceLink),
		post("/v1/space/open", h.openSpace, TypeSpace),
		post("/v1/space/recover", h.recoverSpace, with(joins, TypeSpace)...),
		post("/v1/space/leave", h.leaveSpace, joins...),
		post("/v1/space/undo", h.undo, TypeKept),
		post("/v1/space/conflicts", h.conflicts, TypeConflict, TypeKept),
		post("/v1/space/trash", h.trash, TypeDeleted, TypeKept),
		post("/v1/space/publish", h.publish, TypePublished),
		post("/v1/space/snapshots", h.snapshots, TypeSnapshot),
		post("/v1/join", h.joinSpace, with(joins, TypeCode, TypeMet, TypeWarning, TypeProgress, TypeIdentity, TypeSpace)...),
		post("/v1/devices", h.devices, with(joins, TypeDevice)...),
		post("/v1/device/rename", h.renameDevice, TypeDevice),
		post("/v1/device/add", h.addDevice, with(joins, TypeCode, TypeMet, TypeWarning, TypeProgress, TypeAdded)...),
		post("/v1/identity/unlock", h.unlock, TypeIdentity),
		post("/v1/sync", h.sync, with(joins, TypeSyncFolder)...),
		post("/v1/sync/folders", h.syncFolders, TypeSyncFolder),
		post("/v1/sync/stop", h.stopSync),
		post("/v1/sync/answer", h.answerSync),
		post("/v1/audit", h.audit, TypeAudit, TypeChecked),
		post("/v1/send", h.send, with([]string{TypeListening}, TypeCode, TypeMet, TypeProgress, TypeWarning, TypeSent)...),
		post("/v1/receive", h.receive, with([]string{TypeListening}, TypeCode, TypeMet, TypeOffer, TypeProgress, TypeWarning, TypeReceived)...),
		post("/v1/decide", h.decide),
		post("/v1/identity/new", h.newIdentity, TypePhrase, TypeIdentity),
		post("/v1/identity/restore", h.restoreIdentity, TypeIdentity),
		post("/v1/identity/show", h.showIdentity, TypeIdentity),
		post("/v1/identity/check", h.checkIdentity, TypeIdentity),
		post("/v1/identity/protect", h.protectIdentity, TypeIdentity),
		post("/v1/identity/phrase", h.revealPhrase, TypePhrase),
		post("/v1/identity/forget", h.forgetPhrase, TypeIdentity),
		post("/v1/identity/keyring", h.keyring, TypeKeyring),
		post("/v1/identity/shares", h.splitPhrase, TypeShare),
		post("/v1/identity/combine", h.combine, TypePhrase),
	}
}

// Events are zero values of the events, by their names.
var Events = map[string]any{
	TypeDone: Done{}, TypeLimits: LimitsNow{}, TypeChecked: Checked{}, TypeListening: Listening{}, TypePeer: Peer{}, TypeProgress: Progress{}, TypeWarning: Warning{}, TypeShared: Shared{},
	TypeUpdated: Updated{}, TypeGot: Got{}, TypeEntry: Entry{}, TypeVersion: Version{}, TypeChange: Change{}, TypeRestored: Restored{},
	TypeServing: Serving{}, TypeDrive: Drive{}, TypeInfo: Info{}, TypeAudit: Audit{}, TypeSeeding: Seeding{}, TypeMirroring: Mirroring{},
	TypeMirrorStats: MirrorStats{}, TypeMirrored: Mirrored{}, TypeUnmirrored: Unmirrored{}, TypeBase: Base{}, TypePair: Pair{},
	TypeMember: Member{}, TypeInvited: Invited{}, TypeJoined: Joined{}, TypeCode: Code{}, TypeMet: Met{}, TypeOffer: Offer{}, TypeSent: Sent{},
	TypeReceived: Received{}, TypePhrase: Phrase{}, TypeIdentity: Identity{}, TypeKeyring: Keyring{}, TypeShare: PhraseShare{},
	TypeSpace: Space{}, TypePerson: Person{}, TypeDevice: Device{}, TypeInvitation: Invitation{}, TypeAdded: Added{}, TypeSyncFolder: SyncFolder{}, TypeKept: Kept{}, TypeConflict: Conflict{}, TypeDeleted: Deleted{}, TypeSnapshot: Snapshot{}, TypeSpaceFiles: SpaceFiles{}, TypeCopy: Copy{}, TypeSpaceStatus: SpaceStatus{}, TypePublished: Published{}, TypeSpaceLink: SpaceLink{},
}

// with returns all names.
func with(some []string, more ...string) []string {
	return append(append([]string{}, more...), some...)
}

// post is a route that answers with events.
func post[Request any](path string, fn func(ctx context.Context, r Request, s *Stream) error, events ...string) Route {
	var zero Request
	name := runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Name()
	name = strings.TrimSuffix(name[strings.LastIndexByte(name, '.')+1:], "-fm")
	return Route{Method: "POST", Path: path, Request: zero, Events: events, ContentType: "text/event-stream", Handler: name, serve: stream(fn)}
}

// stream makes a handler of a function that answers with events.
func stream[Request any](fn func(ctx context.Context, r Request, s *Stream) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in Request
		if err := decode(w, r, &in); err != nil {
			writeError(w, err)
			return
		}
		s := newStream(w)
		defer s.settle() // also if the node closes under fn
		s.end(fn(r.Context(), in, s))
	}
}

// openAPI answers with the description of the API.
func (h *handler) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(docs.OpenAPI) // the client is gone if it fails
}

func (h *handler) metrics(w http.ResponseWriter, r *http.Request) {
	if h.Metrics == nil {
		http.NotFound(w, r)
		return
	}
	h.Metrics.ServeHTTP(w, r)
}

// observed tells Observe of the requests of a route.
func (h *handler) observed(route string, next http.HandlerFunc) http.HandlerFunc {
	if h.Observe == nil {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		done := h.Observe(route)
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() { done(s.status) }() // also if the node closes under the handler
		next(s, r)
	}
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}
