package scheduler

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const gi = 1 << 30

func machine(name string, cpu, memory, storage int64) Machine {
	return Machine{Name: name, Capacity: Resources{cpu, memory, storage}}
}

func members(names ...string) []Member {
	var out []Member
	for _, name := range names {
		out = append(out, Member{Name: name})
	}
	return out
}

func TestPlan(t *testing.T) {
	small := Resources{500, 1 * gi, 10 * gi}
	three := []Machine{machine("m3", 2000, 8*gi, 100*gi), machine("m1", 2000, 8*gi, 100*gi), machine("m2", 2000, 8*gi, 100*gi)}
	for _, tc := range []struct {
		name     string
		snapshot Snapshot
		demand   Demand
		want     string // member@machine …
		reasons  []string
	}{
		{
			name:     "one machine is shared",
			snapshot: Snapshot{Machines: three[:1]},
			demand:   Demand{"shop", members("a", "b"), small},
			want:     "a@m3 b@m3",
			reasons:  []string{"the only machine; 8Gi of 8Gi memory free", "the only machine; 7Gi of 8Gi memory free"},
		},
		{
			name:     "members spread, ties go by name",
			snapshot: Snapshot{Machines: three},
			demand:   Demand{"shop", members("a", "b", "c", "d"), small},
			want:     "a@m1 b@m2 c@m3 d@m1",
			reasons: []string{
				"of 3 machines with room it has no member of shop and the largest part of its memory free: 8Gi of 8Gi memory free", "", "",
				"each of the 3 machines with room has members of shop, this one fewest (a); 7Gi of 8Gi memory free",
			},
		},
		{
			name: "the emptier machine is taken",
			snapshot: Snapshot{Machines: three, Placements: []Placement{
				{Name: "x", Group: "other", Machine: "m1", Needs: small}, {Name: "y", Group: "other", Machine: "m2", Needs: small}}},
			demand: Demand{"shop", members("a"), small},
			want:   "a@m3",
		},
		{
			name: "spread goes before emptiness",
			snapshot: Snapshot{Machines: three[:2], Placements: []Placement{
				{Name: "a", Group: "shop", Machine: "m3", Needs: Resources{1, 1, 1}}, {Name: "x", Group: "other", Machine: "m1", Needs: Resources{1000, 6 * gi, 1}}}},
			demand: Demand{"shop", members("b"), small},
			want:   "b@m1",
		},
		{
			name:     "who is there stays there",
			snapshot: Snapshot{Machines: three, Placements: []Placement{{Name: "a", Group: "shop", Machine: "m2", Needs: small}}},
			demand:   Demand{"shop", members("a", "b"), small},
			want:     "a@m2 b@m1",
			reasons:  []string{"it is there already", ""},
		},
		{
			name:     "volumes pin, and pinned members choose first",
			snapshot: Snapshot{Machines: []Machine{machine("m1", 2000, 1*gi, 100*gi), machine("m2", 2000, 1*gi, 100*gi)}},
			demand:   Demand{"shop", []Member{{Name: "a"}, {Name: "b", Pinned: "m1"}}, small},
			want:     "a@m2 b@m1",
			reasons:  []string{"the only one of 2 machines with room; 1Gi of 1Gi memory free", "its volumes are there"},
		},
		{
			name:     "closed machines are passed over",
			snapshot: Snapshot{Machines: []Machine{{Name: "m1", Capacity: small, Closed: "is Failed"}, machine("m2", 500, 1*gi, 10*gi)}},
			demand:   Demand{"shop", members("a"), small},
			want:     "a@m2",
		},
		{
			name:     "CPU is shared",
			snapshot: Snapshot{Machines: []Machine{machine("m1", 1000, 8*gi, 100*gi)}},
			demand:   Demand{"shop", members("a", "b", "c"), Resources{1000, 1 * gi, 1 * gi}},
			want:     "a@m1 b@m1 c@m1",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan := tc.snapshot.Plan(tc.demand)
			if plan.Refusal != nil {
				t.Fatalf("refused: %+v", *plan.Refusal)
			}
			var got []string
			for i, d := range plan.Decisions {
				got = append(got, d.Member+"@"+d.Machine)
				if i < len(tc.reasons) && tc.reasons[i] != "" && d.Reason != tc.reasons[i] {
					t.Errorf("%s is there because %q, want %q", d.Member, d.Reason, tc.reasons[i])
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("placed %s, want %s", strings.Join(got, " "), tc.want)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	one := Snapshot{Machines: []Machine{machine("m1", 2000, 8*gi, 100*gi)},
		Placements: []Placement{{Name: "x", Group: "other", Machine: "m1", Needs: Resources{500, 5 * gi, 60 * gi}}}}
	three := Snapshot{Machines: []Machine{machine("m1", 2000, 8*gi, 100*gi), machine("m2", 1000, 4*gi, 100*gi), machine("m3", 4000, 2*gi, 1*gi)}}
	for _, tc := range []struct {
		name     string
		snapshot Snapshot
		demand   Demand
		want     Refusal
	}{
		{"memory", one, Demand{"shop", members("a"), Resources{1, 4 * gi, 1}},
			Refusal{"a", Memory, 1, 1, 3 * gi, "4Gi memory is asked for; machine m1 has 3Gi of 8Gi free", "delete something: 5Gi of memory is reserved"}},
		{"memory of several", one, Demand{"shop", members("a", "b"), Resources{1, 2 * gi, 1}},
			Refusal{"b", Memory, 1, 1, 3 * gi / 2, "2 members ask for 2Gi memory each; machine m1 has 3Gi of 8Gi free", "delete something: 5Gi of memory is reserved"}},
		{"storage", one, Demand{"shop", members("a"), Resources{1, 1, 41 * gi}},
			Refusal{"a", Storage, 1, 1, 40 * gi, "41Gi storage is asked for; machine m1 has 40Gi of 100Gi free", "delete something: 60Gi of storage is reserved"}},
		{"cpu", one, Demand{"shop", members("a"), Resources{2500, 1, 1}},
			Refusal{"a", CPU, 1, 1, 2000, "2500m cpu is asked for; machine m1 has 2", ""}},
		{"the constraint of most machines binds", three, Demand{"shop", members("a"), Resources{3000, 8 * gi, 1 * gi}},
			Refusal{"a", CPU, 2, 3, 2000, "3 cpu is asked for; the freest of 3 machines, m3, has 4", ""}},
		{"several machines", three, Demand{"shop", members("a"), Resources{1, 9 * gi, 1}},
			Refusal{"a", Memory, 3, 3, 8 * gi, "9Gi memory is asked for; the freest of 3 machines, m1, has 8Gi of 8Gi free", ""}},
		{"no machine", Snapshot{}, Demand{"shop", members("a"), Resources{}},
			Refusal{"a", Machines, 0, 0, 0, "there is no machine", "wait until a machine has registered"}},
		{"closed", Snapshot{Machines: []Machine{{Name: "m1", Closed: "is Failed"}}}, Demand{"shop", members("a"), Resources{}},
			Refusal{"a", Closed, 1, 1, 0, "machine m1 is Failed", "wait until it is Running again; `volvox status` shows it"}},
		{"pinned to a lost machine", one, Demand{"shop", []Member{{"a", "m9"}}, Resources{1, 1, 1}},
			Refusal{"a", Pin, 1, 1, 0, "its volumes are on machine m9, which is not there", "bring machine m9 back"}},
		{"pinned to a full machine", three, Demand{"shop", []Member{{"a", "m3"}}, Resources{1, 3 * gi, 1}},
			Refusal{"a", Memory, 1, 3, 0, "", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan := tc.snapshot.Plan(tc.demand)
			if plan.Refusal == nil || plan.Decisions != nil {
				t.Fatalf("got %+v, want a refusal and no decision", plan)
			}
			got := *plan.Refusal
			if tc.want.Reason == "" {
				got.Reason, got.Remedy, got.Fits = "", "", 0
			}
			if got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

// world draws a snapshot and a demand.
func world(t *rapid.T) (Snapshot, Demand) {
	var s Snapshot
	for i := range rapid.IntRange(0, 5).Draw(t, "machines") {
		m := machine(fmt.Sprintf("m%d", i), rapid.Int64Range(0, 4000).Draw(t, "cpu"), rapid.Int64Range(0, 8).Draw(t, "memory")*gi, rapid.Int64Range(0, 50).Draw(t, "storage")*gi)
		if rapid.IntRange(0, 9).Draw(t, "closed") == 0 {
			m.Closed = "is Failed"
		}
		s.Machines = append(s.Machines, m)
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "placements") {
		s.Placements = append(s.Placements, Placement{
			Name: fmt.Sprintf("p%d", i), Group: rapid.SampledFrom([]string{"shop", "other"}).Draw(t, "group"),
			Machine: fmt.Sprintf("m%d", rapid.IntRange(0, 5).Draw(t, "on")), Needs: Resources{500, gi, gi}})
	}
	d := Demand{Group: "shop", Needs: Resources{rapid.Int64Range(0, 3000).Draw(t, "cpu"), rapid.Int64Range(0, 4).Draw(t, "memory") * gi, rapid.Int64Range(0, 20).Draw(t, "storage") * gi}}
	for i := range rapid.IntRange(1, 5).Draw(t, "members") {
		m := Member{Name: fmt.Sprintf("a%d", i)}
		if rapid.IntRange(0, 5).Draw(t, "pinned") == 0 {
			m.Pinned = fmt.Sprintf("m%d", rapid.IntRange(0, 5).Draw(t, "to"))
		}
		d.Members = append(d.Members, m)
	}
	return s, d
}

// check says what is wrong with a plan, empty if nothing is.
func check(s Snapshot, d Demand, p Plan) string {
	if p.Refusal != nil {
		if p.Decisions != nil || p.Refusal.Constraint == None || p.Refusal.Reason == "" || p.Refusal.Blocked > p.Refusal.Of {
			return fmt.Sprintf("a refusal that does not explain itself: %+v", *p.Refusal)
		}
		return ""
	}
	machines := map[string]*loaded{}
	for _, l := range s.load(d.Group) {
		machines[l.Name] = l
	}
	if len(p.Decisions) != len(d.Members) {
		return fmt.Sprintf("%d decisions for %d members", len(p.Decisions), len(d.Members))
	}
	added := map[string]int{}
	for i, dec := range p.Decisions {
		l, m := machines[dec.Machine], d.Members[i]
		switch {
		case l == nil || dec.Member != m.Name || dec.Reason == "":
			return fmt.Sprintf("a decision of nothing: %+v", dec)
		case l.Closed != "":
			return dec.Member + " is on a closed machine"
		case m.Pinned != "" && m.Pinned != dec.Machine:
			return dec.Member + " is away from its volumes"
		case d.Needs.CPUMillis > l.Capacity.CPUMillis:
			return dec.Member + " is on a machine with too few CPUs"
		}
		l.promised = l.promised.plus(d.Needs)
		l.group = append(l.group, m.Name)
		added[dec.Machine]++
	}
	for name, n := range added {
		if used, has := machines[name].promised, machines[name].Capacity; n > 0 &&
			(used.MemoryBytes > has.MemoryBytes && d.Needs.MemoryBytes > 0 || used.StorageBytes > has.StorageBytes && d.Needs.StorageBytes > 0) {
			return "machine " + name + " is over its capacity"
		}
	}
	return spread(s, d, p, machines)
}

func placedBefore(s Snapshot, machine string) int {
	n := 0
	for _, p := range s.Placements {
		if p.Group == "shop" && p.Machine == machine {
			n++
		}
	}
	return n
}

// spread says whether a member that was free to choose could have gone to a
// machine with at least two fewer members of its group.
func spread(s Snapshot, d Demand, p Plan, after map[string]*loaded) string {
	for i, dec := range p.Decisions {
		if d.Members[i].Pinned != "" {
			continue
		}
		for name, l := range after {
			if l.obstacle(d.Members[i], d.Needs) == None && len(l.group)+1 < len(after[dec.Machine].group) &&
				len(after[dec.Machine].group) > placedBefore(s, dec.Machine)+pinnedTo(d, dec.Machine) {
				return fmt.Sprintf("%s shares %s although %s has room and fewer members", dec.Member, dec.Machine, name)
			}
		}
	}
	return ""
}

func pinnedTo(d Demand, machine string) int {
	n := 0
	for _, m := range d.Members {
		if m.Pinned == machine {
			n++
		}
	}
	return n
}

func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, d := world(t)
		plan := s.Plan(d)
		if wrong := check(s, d, plan); wrong != "" {
			t.Fatal(wrong)
		}
		shuffled := Snapshot{rapid.Permutation(s.Machines).Draw(t, "machines in another order"), rapid.Permutation(s.Placements).Draw(t, "placements in another order")}
		if again := shuffled.Plan(d); !reflect.DeepEqual(plan, again) {
			t.Fatalf("another order gives another plan:\n%+v\n%+v", plan, again)
		}
		pinned := slices.ContainsFunc(d.Members, func(m Member) bool { return m.Pinned != "" })
		if plan.Refusal == nil || pinned {
			return
		}
		if n := slots(s.load(d.Group), d.Needs); n >= int64(len(d.Members)) {
			t.Fatalf("refused although there is room for %d members: %+v", n, *plan.Refusal)
		}
		if fits := plan.Refusal.Fits; fits > 0 {
			d.Needs = plan.Refusal.Constraint.with(d.Needs, fits)
			if again := s.Plan(d); again.Refusal != nil {
				t.Fatalf("%s of %d was said to fit, but: %+v", plan.Refusal.Constraint, fits, *again.Refusal)
			}
		}
	})
}

// The check finds plans that break a promise.
func TestCheckFindsFaults(t *testing.T) {
	s := Snapshot{Machines: []Machine{machine("m1", 2000, 2*gi, 9*gi), machine("m2", 2000, 2*gi, 9*gi), {Name: "m3", Capacity: Resources{9000, 9 * gi, 9 * gi}, Closed: "is Failed"}}}
	d := Demand{"shop", []Member{{"a", ""}, {"b", "m2"}}, Resources{1000, gi, gi}}
	for name, plan := range map[string]Plan{
		"closed":       {Decisions: []Decision{{"a", "m3", "x"}, {"b", "m2", "x"}}},
		"not pinned":   {Decisions: []Decision{{"a", "m2", "x"}, {"b", "m1", "x"}}},
		"shared":       {Decisions: []Decision{{"a", "m2", "x"}, {"b", "m2", "x"}}},
		"unexplained":  {Decisions: []Decision{{"a", "m1", ""}, {"b", "m2", "x"}}},
		"one missing":  {Decisions: []Decision{{"a", "m1", "x"}}},
		"empty excuse": {Refusal: &Refusal{}},
	} {
		if check(s, d, plan) == "" {
			t.Errorf("%s: the check finds nothing wrong", name)
		}
	}
	d.Needs.MemoryBytes = 3 * gi
	if check(s, d, Plan{Decisions: []Decision{{"a", "m1", "x"}, {"b", "m2", "x"}}}) == "" {
		t.Error("over capacity: the check finds nothing wrong")
	}
	d.Needs.MemoryBytes = gi
	if wrong := check(s, d, s.Plan(d)); wrong != "" {
		t.Error(wrong)
	}
}
