package instance

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// Placement says where an instance goes, and why.
type Placement struct {
	Machine string
	Range   string          // the machine's network, whose addresses its instances get
	Reason  string          // in words
	Detail  json.RawMessage // what was compared; may be nil
}

// columns of the table instances, in the words of [Instance].
const columns = `project, name, id, cluster, component, instance_set, ordinal, machine, address, desired, generation,
	phase, observed, role, ready, restarts, exit_code, code, message, created_at, started_at`

// Create wishes for an instance: its rows are made with the lowest free
// address of the machine's range, generation 1 and phase Pending. An empty ID
// is filled in, an empty wish is [Halt]. A name that is taken is E_EXISTS; a
// range without a free address is E_NO_ADDRESS.
func Create(tx *store.Tx, i Instance, spec Spec, p Placement) (Instance, error) {
	if i.Project == "" {
		i.Project = volvox.DefaultProject
	}
	if i.ID == "" {
		i.ID = volvox.NewID()
	}
	if i.Desired == "" {
		i.Desired = Halt
	}
	taken, err := count(tx, `SELECT COUNT(*) FROM instances WHERE project = $1 AND name = $2`, i.Project, i.Name)
	if err != nil {
		return Instance{}, err
	}
	if taken > 0 {
		return Instance{}, volvox.Errorf(volvox.Exists, "there is an instance %s already", i.Name).About(ref(i.Project, i.Name))
	}
	address, err := freeAddress(tx, p.Range)
	if err != nil {
		return Instance{}, err
	}
	i.Machine, i.Address = p.Machine, address
	i.Generation, i.Observed, i.Phase = 1, 0, volvox.Pending
	i.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	if _, err := tx.Exec(`INSERT INTO instances (id, project, name, cluster, component, instance_set, ordinal, machine, address, desired, generation, phase, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		i.ID, i.Project, i.Name, i.Cluster, i.Component, i.Set, i.Ordinal, i.Machine, i.Address, i.Desired, i.Generation, i.Phase, i.CreatedAt); err != nil {
		return Instance{}, err
	}
	if _, err := tx.Exec(`INSERT INTO instance_specs (id, project, name, machine, image, cpu_millis, memory_bytes, storage_bytes, spec)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		i.ID, i.Project, i.Name, i.Machine, spec.Image, spec.Limits.CPUMillis, spec.Limits.MemoryBytes, spec.storage(), spec); err != nil {
		return Instance{}, err
	}
	for _, m := range spec.Volumes {
		if err := addVolume(tx, i, m); err != nil {
			return Instance{}, err
		}
	}
	if p.Detail == nil {
		p.Detail = json.RawMessage("{}")
	}
	_, err = tx.Exec(`INSERT INTO placements (instance_id, project, instance, machine, reason, detail, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, i.ID, i.Project, i.Name, i.Machine, p.Reason, p.Detail, i.CreatedAt)
	return i, err
}

func addVolume(tx *store.Tx, i Instance, m Mount) error {
	_, err := tx.Exec(`INSERT INTO volumes (instance_id, name, project, instance, machine, path, bytes, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, i.ID, m.Name, i.Project, i.Name, i.Machine, m.Path, m.Bytes, time.Now())
	return err
}

func (s Spec) storage() int64 {
	var sum int64
	for _, m := range s.Volumes {
		sum += m.Bytes
	}
	return sum
}

// freeAddress is the lowest address of the range, from its third one on, that
// no instance has.
func freeAddress(tx *store.Tx, network string) (string, error) {
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return "", volvox.Errorf(volvox.Internal, "%q is no network range", network).From(err)
	}
	rows, err := store.All[string](tx, `SELECT address FROM instances`)
	if err != nil {
		return "", err
	}
	used := make(map[string]bool, len(rows))
	for _, a := range rows {
		used[a] = true
	}
	a := prefix.Masked().Addr().Next().Next()
	for ; prefix.Contains(a.Next()); a = a.Next() { // the last one is left out
		if !used[a.String()] {
			return a.String(), nil
		}
	}
	return "", volvox.Errorf(volvox.NoAddress, "no address is free in %s", network).
		Because("each instance has one of its own, and all are in use").
		WithTry("delete a database that is not needed: volvox db list")
}

// SetDesired changes what is wished of an instance. The same wish again
// changes nothing. A wish for removal stays: another one after it is E_BUSY.
func SetDesired(tx *store.Tx, project, name string, d Desired) error {
	i, err := Get(tx, project, name)
	if err != nil {
		return err
	}
	if i.Desired == d {
		return nil
	}
	if i.Desired == Remove {
		return beingDeleted(i)
	}
	if _, err = tx.Exec(`UPDATE instances SET desired = $1, generation = generation + 1 WHERE id = $2`, d, i.ID); err != nil {
		return err
	}
	return settleSet(tx, i.Project, i.Set)
}

// Delete wishes that nothing stays of an instance, its data included. The
// rows go when the machine's agent has reported that it is gone; not there:
// nil.
func Delete(tx *store.Tx, project, name string) error {
	err := SetDesired(tx, project, name, Remove)
	if volvox.IsKind(err, volvox.KindNotFound) {
		return nil
	}
	return err
}

// SetSpec changes what an instance is made of; a running container is made
// anew. The same spec again changes nothing. Volumes may be added and grow,
// but none may be left out (E_UNSUPPORTED), for its data would be lost.
func SetSpec(tx *store.Tx, project, name string, spec Spec) error {
	i, err := Get(tx, project, name)
	if err != nil {
		return err
	}
	if i.Desired == Remove {
		return beingDeleted(i)
	}
	old, err := SpecOf(tx, project, name)
	if err != nil {
		return err
	}
	if same(old, spec) {
		return nil
	}
	for _, m := range old.Volumes {
		if !slices.ContainsFunc(spec.Volumes, func(n Mount) bool { return n.Name == m.Name }) {
			return volvox.Errorf(volvox.Unsupported, "volume %s of %s cannot be taken away", m.Name, name).
				Because("its data would be lost").About(ref(project, name))
		}
	}
	for _, m := range spec.Volumes {
		n, err := tx.Exec(`UPDATE volumes SET path = $1, bytes = $2 WHERE instance_id = $3 AND name = $4`, m.Path, m.Bytes, i.ID, m.Name)
		if err == nil && n == 0 {
			err = addVolume(tx, i, m)
		}
		if err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`UPDATE instance_specs SET image = $1, cpu_millis = $2, memory_bytes = $3, storage_bytes = $4, spec = $5 WHERE id = $6`,
		spec.Image, spec.Limits.CPUMillis, spec.Limits.MemoryBytes, spec.storage(), spec, i.ID); err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE instances SET generation = generation + 1 WHERE id = $1`, i.ID)
	return err
}

// same says whether two specs are the same as JSON, so that an empty list and
// none are not told apart where JSON does not.
func same(a, b Spec) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

// Get returns an instance; E_NOT_FOUND if there is none of the name.
func Get(tx *store.Tx, project, name string) (Instance, error) {
	i, err := store.One[Instance](tx, `SELECT `+columns+` FROM instances WHERE project = $1 AND name = $2`, project, name)
	if volvox.IsKind(err, volvox.KindNotFound) {
		return i, volvox.Errorf(volvox.NotFound, "there is no instance %s", name).About(ref(project, name)).
			WithTry("volvox ps")
	}
	return i, err
}

// SpecOf returns what an instance is made of.
func SpecOf(tx *store.Tx, project, name string) (Spec, error) {
	var spec Spec
	text, err := store.One[string](tx, `SELECT spec FROM instance_specs WHERE project = $1 AND name = $2`, project, name)
	if err != nil {
		return spec, err
	}
	return spec, json.Unmarshal([]byte(text), &spec)
}

// Filter chooses instances; an empty field chooses all.
type Filter struct {
	Project string
	Cluster string
	Machine string
	Names   []string
}

// List returns the instances that the filter chooses, sorted by project,
// cluster, component and ordinal.
func List(tx *store.Tx, f Filter) ([]Instance, error) {
	var where []string
	var args []any
	add := func(column string, value string) {
		if value != "" {
			args = append(args, value)
			where = append(where, column+" = $"+itoa(len(args)))
		}
	}
	add("project", f.Project)
	add("cluster", f.Cluster)
	add("machine", f.Machine)
	if len(f.Names) > 0 {
		var marks []string
		for _, n := range f.Names {
			args = append(args, n)
			marks = append(marks, "$"+itoa(len(args)))
		}
		where = append(where, "name IN ("+strings.Join(marks, ", ")+")")
	}
	q := `SELECT ` + columns + ` FROM instances`
	if len(where) > 0 {
		q += ` WHERE ` + strings.Join(where, " AND ")
	}
	return store.All[Instance](tx, q+` ORDER BY project, cluster, component, ordinal, name`, args...)
}

// Reservation is what the instances of a machine reserve of it.
type Reservation struct {
	Machine      string `json:"machine"`
	Instances    int64  `json:"instances"`
	CPUMillis    int64  `json:"cpu_millis"`
	MemoryBytes  int64  `json:"memory_bytes"`
	StorageBytes int64  `json:"storage_bytes"`
}

// Reserved returns the reservations of all machines that have instances. An
// instance reserves until it is gone.
func Reserved(tx *store.Tx) ([]Reservation, error) {
	return store.All[Reservation](tx, `SELECT machine, COUNT(*) AS instances, SUM(cpu_millis) AS cpu_millis,
		SUM(memory_bytes) AS memory_bytes, SUM(storage_bytes) AS storage_bytes
		FROM instance_specs GROUP BY machine ORDER BY machine`)
}

func count(tx *store.Tx, stmt string, args ...any) (int64, error) {
	return store.One[int64](tx, stmt, args...)
}

func ref(project, name string) volvox.Ref {
	return volvox.Ref{Kind: "instance", Project: project, Name: name}
}

func beingDeleted(i Instance) error {
	return volvox.Errorf(volvox.Busy, "instance %s is being deleted", i.Name).About(ref(i.Project, i.Name))
}
