package instance

import (
	"strings"

	"encoding/json"
	"github.com/volvox-os/volvox/store"
	"time"

	"github.com/volvox-os/volvox"
)

// Action is a script to be run once in an instance; a row of the table
// actions. Its ID is its idempotency key.
type Action struct {
	ID         string            `json:"id"`
	Project    string            `json:"project"`
	Instance   string            `json:"instance"`
	InstanceID volvox.ID         `json:"instance_id"` // filled in when it is started
	Machine    string            `json:"machine"`
	Name       string            `json:"name"`  // "init", "seed", …
	Place      string            `json:"place"` // engine: in its running container; job: in a container of its own with the same image, volumes, files and secrets
	Command    []string          `json:"command"`
	Env        map[string]string `json:"env"`     // DB_*, small and not secret
	Context    json.RawMessage   `json:"context"` // what $DB_CTX names a file of
	TimeoutMS  int64             `json:"timeout_ms"`
	Status     string            `json:"status"` // Pending, Done
	Exit       *int              `json:"exit"`   // 124 when it timed out; see the action contract
	Output     json.RawMessage   `json:"output"` // what it wrote to $DB_OUT, null if nothing
	Log        string            `json:"log"`    // the last 4 KiB of what it printed
	CreatedAt  time.Time         `json:"created_at"`
	EndedAt    *time.Time        `json:"ended_at"`
}

// The values of [Action].Status.
const (
	Waiting = "Pending"
	Done    = "Done"
)

// The values of [Action].Place.
const (
	InEngine = "engine"
	InJob    = "job"
)

// The exit codes of the action contract that the core tells apart.
const (
	ExitDone        = 0
	ExitInProgress  = 10 // call again
	ExitNotApply    = 11
	ExitTransient   = 20 // may succeed later
	ExitPermanent   = 30
	ExitRefused     = 40 // unsafe
	ExitTimedOut    = 124
	maxActionLog    = 4 << 10
	maxActionOutput = 1 << 20
)

const actionColumns = `id, project, instance, instance_id, machine, name, place, command, env, context, timeout_ms,
	status, exit, output, log, created_at, ended_at`

// StartAction asks for an action on the instance named in it. The same ID
// again returns the first one, done or not, and asks for nothing. An instance
// that is not there is E_NOT_FOUND, one that is being deleted E_BUSY.
func StartAction(tx *store.Tx, a Action) (Action, error) {
	first, err := store.All[Action](tx, `SELECT `+actionColumns+` FROM actions WHERE id = $1`, a.ID)
	if err != nil {
		return Action{}, err
	}
	if len(first) > 0 {
		return first[0], nil
	}
	if a.Project == "" {
		a.Project = volvox.DefaultProject
	}
	if a.ID == "" || len(a.Command) == 0 || (a.Place != InEngine && a.Place != InJob) || a.TimeoutMS <= 0 {
		return Action{}, volvox.Errorf(volvox.BadInput, "action %s of %s cannot be run", a.Name, a.Instance).
			Because("it needs an id, a command, a timeout and the place engine or job")
	}
	i, err := Get(tx, a.Project, a.Instance)
	if err != nil {
		return Action{}, err
	}
	if i.Desired == Remove {
		return Action{}, beingDeleted(i)
	}
	if a.Env == nil {
		a.Env = map[string]string{}
	}
	if len(a.Context) == 0 {
		a.Context = json.RawMessage("{}")
	}
	a.InstanceID, a.Machine, a.Status = i.ID, i.Machine, Waiting
	a.Exit, a.Output, a.Log, a.EndedAt = nil, nil, "", nil
	a.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	_, err = tx.Exec(`INSERT INTO actions (id, project, instance, instance_id, machine, name, place, command, env, context, timeout_ms, status, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		a.ID, a.Project, a.Instance, a.InstanceID, a.Machine, a.Name, a.Place, a.Command, a.Env, a.Context, a.TimeoutMS, a.Status, a.CreatedAt)
	return a, err
}

// GetAction returns an action; E_NOT_FOUND if there is none, or if it went
// with its instance.
func GetAction(tx *store.Tx, id string) (Action, error) {
	a, err := store.One[Action](tx, `SELECT `+actionColumns+` FROM actions WHERE id = $1`, id)
	if volvox.IsKind(err, volvox.KindNotFound) {
		return a, volvox.Errorf(volvox.NotFound, "there is no action %s", id).
			Because("it was never asked for, or its instance is gone")
	}
	return a, err
}

// Err is nil when the action was done or does not apply, otherwise an error
// that says how it ended: E_TIMEOUT, E_ACTION_REFUSED or E_ACTION_FAILED, with
// the last line that it printed as its cause.
func (a Action) Err() error {
	if a.Exit == nil {
		return volvox.Errorf(volvox.NotReady, "action %s of %s has not ended yet", a.Name, a.Instance)
	}
	var err *volvox.Error
	switch *a.Exit {
	case ExitDone, ExitNotApply:
		return nil
	case ExitTimedOut:
		err = volvox.Errorf(volvox.Timeout, "action %s of %s took longer than %s", a.Name, a.Instance, time.Duration(a.TimeoutMS)*time.Millisecond)
	case ExitRefused:
		err = volvox.Errorf(volvox.ActionRefused, "action %s of %s refused as unsafe", a.Name, a.Instance)
	default:
		err = volvox.Errorf(volvox.ActionFailed, "action %s of %s failed with exit code %d", a.Name, a.Instance, *a.Exit)
	}
	if last := lastLines(a.Log, 3); last != "" {
		err = err.Because("%s", last)
	}
	return err.About(ref(a.Project, a.Instance)).WithTry("volvox logs %s", a.Instance)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
