package instance

import (
	"fmt"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// Set is one row of the table instance_sets: so many instances of one kind
// with the stable names NAME-0, NAME-1, …. Whoever wants instances makes a set
// and then its instances; the set counts them and goes with the last one.
type Set struct {
	Project   string       `json:"project"`
	Name      string       `json:"name"` // "shop-pg", unique in its project
	Cluster   string       `json:"cluster"`
	Component string       `json:"component"`
	Replicas  int          `json:"replicas"` // wished
	Ready     int          `json:"ready"`    // do their work
	Phase     volvox.Phase `json:"phase"`
	CreatedAt time.Time    `json:"created_at"`
}

// Member is the name of the set's instance with the ordinal.
func (s Set) Member(ordinal int) string { return fmt.Sprintf("%s-%d", s.Name, ordinal) }

const setColumns = `project, name, cluster, component, replicas, ready, phase, created_at`

// CreateSet wishes for a set, whose instances are then made with [Create]. A
// name that is taken is E_EXISTS.
func CreateSet(tx *store.Tx, s Set) (Set, error) {
	if s.Project == "" {
		s.Project = volvox.DefaultProject
	}
	s.Ready, s.Phase, s.CreatedAt = 0, volvox.Pending, time.Now().UTC().Truncate(time.Microsecond)
	taken, err := count(tx, `SELECT COUNT(*) FROM instance_sets WHERE project = $1 AND name = $2`, s.Project, s.Name)
	if err != nil {
		return Set{}, err
	}
	if taken > 0 {
		return Set{}, volvox.Errorf(volvox.Exists, "there is an instance set %s already", s.Name).
			About(volvox.Ref{Kind: "instance set", Project: s.Project, Name: s.Name})
	}
	_, err = tx.Exec(`INSERT INTO instance_sets (`+setColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.Project, s.Name, s.Cluster, s.Component, s.Replicas, s.Ready, s.Phase, s.CreatedAt)
	return s, err
}

// Sets returns the sets of a cluster, all sets if it is empty, sorted by name.
func Sets(tx *store.Tx, project, cluster string) ([]Set, error) {
	return store.All[Set](tx, `SELECT `+setColumns+` FROM instance_sets
		WHERE project = $1 AND ($2 = '' OR cluster = $2) ORDER BY name`, project, cluster)
}

// settleSet writes what a set's facts are by those of its instances, if that
// is news. A set whose last instance is gone goes too. An instance of no set,
// as one made by itself, has none to settle.
func settleSet(tx *store.Tx, project, name string) error {
	sets, err := store.All[Set](tx, `SELECT `+setColumns+` FROM instance_sets WHERE project = $1 AND name = $2`, project, name)
	if err != nil || len(sets) == 0 {
		return err
	}
	members, err := store.All[Instance](tx, `SELECT `+columns+` FROM instances WHERE project = $1 AND instance_set = $2`, project, name)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		_, err := tx.Exec(`DELETE FROM instance_sets WHERE project = $1 AND name = $2`, project, name)
		return err
	}
	now := sets[0]
	now.settle(members)
	if now == sets[0] {
		return nil
	}
	_, err = tx.Exec(`UPDATE instance_sets SET ready = $1, phase = $2 WHERE project = $3 AND name = $4`, now.Ready, now.Phase, project, name)
	return err
}

// settle sets the facts by those of the members: the phase is the one that
// most needs to be seen, in this order: Deleting, Failed, then what is on its
// way, then Stopped, and Running when all replicas are ready.
func (s *Set) settle(members []Instance) {
	s.Ready = 0
	phases := map[volvox.Phase]int{}
	for _, i := range members {
		if i.Desired == Remove {
			phases[volvox.Deleting]++
		}
		if i.Phase == volvox.Running && i.Ready {
			s.Ready++
		}
		phases[i.Phase]++
	}
	s.Phase = volvox.Creating
	switch {
	case phases[volvox.Deleting] > 0:
		s.Phase = volvox.Deleting
	case phases[volvox.Failed] > 0:
		s.Phase = volvox.Failed
	case s.Ready == s.Replicas && s.Ready == len(members):
		s.Phase = volvox.Running
	case phases[volvox.Pending] == len(members):
		s.Phase = volvox.Pending
	case phases[volvox.Stopped] == len(members):
		s.Phase = volvox.Stopped
	case phases[volvox.Stopping] > 0:
		s.Phase = volvox.Stopping
	case phases[volvox.Updating] > 0 || phases[volvox.Running] == len(members):
		s.Phase = volvox.Updating
	}
}
