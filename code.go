package volvox

import "slices"

// Kind classes errors. Each door maps kinds, and only kinds, to its own
// protocol: an exit code, an HTTP status, an SQLSTATE.
type Kind string

// The kinds.
const (
	KindInvalid     Kind = "invalid"     // the request itself is wrong
	KindNotFound    Kind = "not found"   // no such thing
	KindDenied      Kind = "denied"      // may not
	KindConflict    Kind = "conflict"    // the state does not allow it now
	KindCapacity    Kind = "no capacity" // no room for it
	KindUnavailable Kind = "unavailable" // a part or a peer does not answer; try again
	KindTimeout     Kind = "timeout"     // not done in time; it may still be running
	KindCancelled   Kind = "cancelled"   // the caller gave up
	KindCorrupt     Kind = "corrupt"     // stored or fetched data is not what it must be
	KindInternal    Kind = "internal"    // a bug, or a fault of the machine
)

// Retryable says whether the same request may succeed later, unchanged.
func (k Kind) Retryable() bool {
	return k == KindUnavailable || k == KindTimeout || k == KindCapacity
}

// Code is the stable name of one way to fail, E_ and capitals. Codes are only
// ever added.
type Code string

// CodeDoc is what `volvox explain CODE` prints.
type CodeDoc struct {
	Code    Code   `json:"code"`
	Kind    Kind   `json:"kind"`
	Meaning string `json:"meaning"`
	Try     string `json:"try"`
}

// The codes. Each has a row in codeDocs.
const (
	BadName           Code = "E_BAD_NAME"
	BadInput          Code = "E_BAD_INPUT"
	BadFile           Code = "E_BAD_FILE"
	BadSQL            Code = "E_BAD_SQL"
	BadTime           Code = "E_BAD_TIME"
	UnknownEngine     Code = "E_UNKNOWN_ENGINE"
	UnknownVersion    Code = "E_UNKNOWN_VERSION"
	UnknownParameter  Code = "E_UNKNOWN_PARAMETER"
	BadParameter      Code = "E_BAD_PARAMETER"
	UnknownTopology   Code = "E_UNKNOWN_TOPOLOGY"
	Unsupported       Code = "E_UNSUPPORTED"
	NotFound          Code = "E_NOT_FOUND"
	Exists            Code = "E_EXISTS"
	Busy              Code = "E_BUSY"
	Changed           Code = "E_CHANGED"
	AlreadyUp         Code = "E_ALREADY_UP"
	NotUp             Code = "E_NOT_UP"
	NotReady          Code = "E_NOT_READY"
	NewerSchema       Code = "E_NEWER_SCHEMA"
	Denied            Code = "E_DENIED"
	ReadOnly          Code = "E_READ_ONLY"
	NoMemory          Code = "E_NO_MEMORY"
	NoCPU             Code = "E_NO_CPU"
	NoStorage         Code = "E_NO_STORAGE"
	NoAddress         Code = "E_NO_ADDRESS"
	DiskFull          Code = "E_DISK_FULL"
	SubnetTaken       Code = "E_SUBNET_TAKEN"
	PortTaken         Code = "E_PORT_TAKEN"
	MissingProgram    Code = "E_MISSING_PROGRAM"
	MirrorUnavailable Code = "E_MIRROR_UNAVAILABLE"
	Checksum          Code = "E_CHECKSUM"
	Signature         Code = "E_SIGNATURE"
	NoPackage         Code = "E_NO_PACKAGE"
	BadImage          Code = "E_BAD_IMAGE"
	RuntimeFailed     Code = "E_RUNTIME"
	ActionFailed      Code = "E_ACTION_FAILED"
	ActionRefused     Code = "E_ACTION_REFUSED"
	OutOfMemory       Code = "E_OUT_OF_MEMORY"
	Crashed           Code = "E_CRASHED"
	Determinism       Code = "E_DETERMINISM"
	NotSerializable   Code = "E_NOT_SERIALIZABLE"
	Fenced            Code = "E_FENCED"
	SlowClosure       Code = "E_SLOW_CLOSURE"
	SlowView          Code = "E_SLOW_VIEW"
	NestedTransaction Code = "E_NESTED_TRANSACTION"
	Future            Code = "E_FUTURE"
	Pruned            Code = "E_PRUNED"
	TooManyRows       Code = "E_TOO_MANY_ROWS"
	Timeout           Code = "E_TIMEOUT"
	StillRunning      Code = "E_STILL_RUNNING"
	Cancelled         Code = "E_CANCELLED"
	Corrupt           Code = "E_CORRUPT"
	Unavailable       Code = "E_UNAVAILABLE"
	Internal          Code = "E_INTERNAL"
)

// codeDocs documents every code; a test holds it complete.
var codeDocs = []CodeDoc{
	{BadName, KindInvalid, "A name given to a thing does not follow the rule for names.", "Use lower-case letters, digits and dashes, starting with a letter, at most 32 characters."},
	{BadInput, KindInvalid, "An argument, flag or field has a value that is not allowed.", "The error names the field and what is allowed."},
	{BadFile, KindInvalid, "A file could not be read as what it should be: its YAML or its schema is wrong.", "The error names the file, the line and what is allowed there."},
	{BadSQL, KindInvalid, "The SQL statement could not be run.", "Check names with `volvox sql --tables`."},
	{BadTime, KindInvalid, "A time was not understood.", "Write an RFC 3339 time such as 2026-01-31T12:00:00Z, or a time ago such as -10m."},
	{UnknownEngine, KindNotFound, "No addon has this engine.", "`volvox sql \"SELECT name FROM addons\"` lists the engines."},
	{UnknownVersion, KindNotFound, "The engine does not come in this version.", "`volvox sql \"SELECT * FROM addon_versions\"` lists the versions."},
	{UnknownParameter, KindInvalid, "The engine has no parameter of this name.", "`volvox sql \"SELECT * FROM addon_parameters\"` lists the parameters."},
	{BadParameter, KindInvalid, "A parameter's value is outside what the engine allows.", "The error says what is allowed."},
	{UnknownTopology, KindInvalid, "The engine has no topology of this name, or not with this many replicas.", "Leave --topology out: the number of replicas chooses one."},
	{Unsupported, KindInvalid, "The engine, or this version of Volvox, cannot do what was asked.", "The error says what it can do."},
	{NotFound, KindNotFound, "There is no thing of this name.", "List what there is, for instance with `volvox db list`."},
	{Exists, KindConflict, "A thing of this name exists already.", "Choose another name, or delete the old one first."},
	{Busy, KindConflict, "Another operation is being done on the same thing.", "Wait until it ends; `volvox sql \"SELECT id, name, status FROM workflows\"` shows it."},
	{Changed, KindConflict, "The thing was changed by somebody else since you looked.", "Look again and repeat the change."},
	{AlreadyUp, KindConflict, "A computer is already up on this data directory.", "Use it, stop it with `volvox down`, or choose another directory with --data."},
	{NotUp, KindUnavailable, "No computer answers on this data directory.", "Start it with `volvox up`, or name its directory with --data."},
	{NotReady, KindUnavailable, "The computer is up but not ready yet.", "Wait a moment; `volvox status` says what is missing."},
	{NewerSchema, KindConflict, "The data was written by a newer version of Volvox.", "Use that version, or a newer one."},
	{Denied, KindDenied, "The caller may not do this.", "The computer's socket belongs to the user who started it; become that user."},
	{ReadOnly, KindDenied, "SQL that changes something is not accepted here.", "Change things through the commands; SQL reads."},
	{NoMemory, KindCapacity, "No machine has this much memory free for reservation.", "Ask for less with --memory, or delete something."},
	{NoCPU, KindCapacity, "No machine has this many CPUs.", "Ask for less with --cpu."},
	{NoStorage, KindCapacity, "No machine has this much disk space free.", "Ask for less with --storage, or free disk space."},
	{NoAddress, KindCapacity, "The network range of the machine has no free address for another instance.", "Delete something, or choose a larger --network."},
	{DiskFull, KindCapacity, "The disk is full.", "Free disk space, then try again; nothing that was acknowledged is lost."},
	{SubnetTaken, KindConflict, "The network range asked for overlaps a route of this machine.", "Choose another --network inside 100.64.0.0/10, or leave it out."},
	{PortTaken, KindConflict, "Another program listens on this address.", "Choose another port, or leave the flag out."},
	{MissingProgram, KindUnavailable, "A program that Volvox runs is not installed.", "`volvox doctor` lists what is missing and how to install it."},
	{MirrorUnavailable, KindUnavailable, "A package mirror did not answer.", "Check this machine's network and its apt sources, then try again."},
	{Checksum, KindCorrupt, "What was fetched has not the checksum that was promised; it was thrown away.", "Try again; if it stays so, the mirror is broken."},
	{Signature, KindCorrupt, "A package index is not signed by a key that this machine trusts.", "Check the Signed-By of the source, as for apt."},
	{NoPackage, KindNotFound, "A package is in none of this machine's apt sources.", "Add a source that has it, or choose another version of the engine."},
	{BadImage, KindInvalid, "An image cannot be used: its reference or its content is wrong.", "References are deb:PACKAGE,… and file:/path/to/archive.tar[.gz|.xz|.zst]."},
	{RuntimeFailed, KindUnavailable, "The container runtime refused or failed.", "The cause has its words; `volvox doctor` checks the runtime."},
	{ActionFailed, KindInternal, "An action of the engine's addon failed.", "The cause has its last lines; `volvox db logs NAME` has all."},
	{ActionRefused, KindConflict, "An action of the engine's addon refused as unsafe.", "The cause says why."},
	{OutOfMemory, KindCapacity, "A process was ended by the kernel because its memory limit was reached.", "Give it more with --memory."},
	{Crashed, KindInternal, "A process ended although it should run.", "`volvox logs NAME` shows its last words."},
	{Determinism, KindInternal, "A workflow's code took another path than the one recorded.", "Deploy the code that started it, or cancel it."},
	{NotSerializable, KindInvalid, "A value cannot be written as JSON.", "Use values of exported fields, no functions and no channels."},
	{Fenced, KindConflict, "The workflow belongs to another executor now, or has ended.", "Nothing: the other one goes on."},
	{SlowClosure, KindTimeout, "A transaction took longer than a second and was undone.", "Do slow work outside of transactions."},
	{SlowView, KindTimeout, "A reading took longer than 30 seconds and was ended.", "Read in smaller pieces."},
	{NestedTransaction, KindInternal, "A transaction was started inside another one.", "Use the transaction that is open."},
	{Future, KindInvalid, "The moment asked for has not happened yet.", "Ask for a moment in the past."},
	{Pruned, KindInvalid, "The moment asked for is older than the history kept.", "Ask for a later moment."},
	{TooManyRows, KindInvalid, "The answer has more rows than are sent.", "Add a LIMIT."},
	{Timeout, KindTimeout, "It was not done in time.", "Try again; what had been acknowledged stays."},
	{StillRunning, KindTimeout, "The command stopped waiting; the work goes on.", "`volvox sql \"SELECT id, name, status FROM workflows\"` shows it."},
	{Cancelled, KindCancelled, "The caller gave up.", "Nothing."},
	{Corrupt, KindCorrupt, "Stored data is not what it must be.", "Restore the file that the error names from its backup."},
	{Unavailable, KindUnavailable, "A part of the computer does not answer.", "Try again in a moment; `volvox status` says which part."},
	{Internal, KindInternal, "Something unexpected failed: a bug, or a fault of the machine.", "Look at the cause, and report it."},
}

// Codes returns the documentation of all codes.
func Codes() []CodeDoc { return slices.Clone(codeDocs) }

// Explain returns the documentation of one code.
func (c Code) Explain() (CodeDoc, bool) {
	i := slices.IndexFunc(codeDocs, func(d CodeDoc) bool { return d.Code == c })
	if i < 0 {
		return CodeDoc{}, false
	}
	return codeDocs[i], true
}

// Kind returns the class of the code; one that is not documented is internal.
func (c Code) Kind() Kind {
	if d, ok := c.Explain(); ok {
		return d.Kind
	}
	return KindInternal
}
