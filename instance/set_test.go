package instance_test

import (
	"context"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
)

// TestSet follows a set of two through its life: its facts are those of its
// instances, and it goes with the last one.
func TestSet(t *testing.T) {
	k := newKernel(t)
	var members []instance.Instance
	makeSet := func() error {
		return k.update(func(tx *store.Tx) error {
			set, err := instance.CreateSet(tx, instance.Set{Name: "shop-box", Cluster: "shop", Component: "box", Replicas: 2})
			for n := 0; n < 2 && err == nil; n++ {
				var i instance.Instance
				i, err = instance.Create(tx, instance.Instance{Name: set.Member(n), Cluster: "shop", Component: "box", Set: set.Name, Ordinal: n}, box(),
					instance.Placement{Machine: "one", Range: "100.64.0.0/29"})
				members = append(members, i)
			}
			return err
		})
	}
	k.must(makeSet())
	k.fails(makeSet(), volvox.Exists)
	members = members[:2]

	look := func(ready int, phase volvox.Phase) {
		t.Helper()
		var sets []instance.Set
		k.must(k.db.View(context.Background(), func(tx *store.Tx) (err error) {
			sets, err = instance.Sets(tx, "main", "shop")
			return err
		}))
		if len(sets) != 1 || sets[0].Ready != ready || sets[0].Phase != phase || sets[0].Replicas != 2 {
			t.Errorf("want %d ready and %s, got %+v", ready, phase, sets)
		}
	}
	report := func(n int, phase volvox.Phase, ready bool) {
		t.Helper()
		k.must(k.Report(t.Context(), "one", instance.Report{ID: members[n].ID, Phase: phase, Ready: ready, Observed: 1}))
	}
	look(0, volvox.Pending)
	report(0, volvox.Creating, false)
	look(0, volvox.Creating)
	report(0, volvox.Stopped, false)
	report(1, volvox.Stopped, false)
	look(0, volvox.Stopped)
	report(0, volvox.Running, true)
	look(1, volvox.Creating)
	report(1, volvox.Running, true)
	look(2, volvox.Running)
	report(1, volvox.Running, false)
	look(1, volvox.Updating)
	report(1, volvox.Failed, false)
	look(1, volvox.Failed)
	k.desire("shop-box-0", instance.Remove)
	look(1, volvox.Deleting)
	k.must(k.Report(t.Context(), "one", instance.Report{ID: members[0].ID, Gone: true}))
	k.desire("shop-box-1", instance.Remove)
	k.must(k.Report(t.Context(), "one", instance.Report{ID: members[1].ID, Gone: true}))
	if n := k.count("instance_sets"); n != 0 {
		t.Errorf("%d sets are left", n)
	}
}
