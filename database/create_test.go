package database

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/workflow"
)

var shop = Wish{Name: "shop", Engine: "counter", Replicas: 3, MemoryBytes: 128 << 20, Params: map[string]string{"label": "the shop"}}

// pair is the smallest database that has every kind of step: twelve of them.
var pair = Wish{Name: "shop", Engine: "counter", Replicas: 2}

const pairSteps = 12

func TestCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	c, id, err := w.service.Create(w.ctx, shop)
	w.must(err)
	if c.Phase != volvox.Pending || c.Version != "2" || c.Topology != "replication" || c.CPUMillis != 200 || c.StorageBytes != 16<<20 || c.Workflow != id {
		t.Errorf("the wish was filled in as %+v", c)
	}
	made := w.made(id)
	if made.Phase != volvox.Running || made.ID != c.ID || made.Message != "" {
		t.Errorf("the workflow returned %+v", made)
	}
	parts, err := w.service.Components(w.ctx, "main", "shop")
	w.must(err)
	if len(parts) != 1 || parts[0].Phase != volvox.Running || parts[0].Primary != "shop-counter-0" || parts[0].Replicas != 3 {
		t.Errorf("the components are %+v", parts)
	}
	var names []string
	steps, err := w.engine.Steps(w.ctx, id)
	w.must(err)
	for _, s := range steps {
		names = append(names, s.Name)
	}
	want := "plan, place members, prepare shop-counter-0, init shop-counter-0, start shop-counter-0, set up shop, " +
		"prepare shop-counter-1, join shop-counter-1, seed shop-counter-1, start shop-counter-1, " +
		"prepare shop-counter-2, join shop-counter-2, seed shop-counter-2, start shop-counter-2, open shop"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("steps\n%s, want\n%s", got, want)
	}
	wantRan := map[string]int{"init shop-counter-0": 1, "setup shop-counter-0": 1, "join shop-counter-1": 1, "seed shop-counter-1": 1, "join shop-counter-2": 1, "seed shop-counter-2": 1}
	if got := w.twin.actions(); !reflect.DeepEqual(got, wantRan) {
		t.Errorf("the actions run are %v, want %v", got, wantRan)
	}
	if events := w.events("cluster", "shop"); len(events) < 2 || !strings.HasPrefix(events[len(events)-1].Message, "is Running") {
		t.Errorf("the events are %+v", events)
	}
}

// What actions are told.
func TestActionContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	c := w.create(shop)
	list, err := w.instances.List(w.ctx, instance.Filter{Cluster: "shop"})
	w.must(err)
	join := w.twin.action("join shop-counter-2")
	want := map[string]string{
		"DB_CLUSTER": "shop", "DB_COMPONENT": "counter", "DB_VERSION": "2", "DB_REPLICAS": "3", "DB_MEMBER": "shop-counter-0", "DB_ORDINAL": "0",
		"DB_HOST": list[0].Address, "DB_PORT": "7000", "DB_PRIMARY_NAME": "shop-counter-0", "DB_PRIMARY_HOST": list[0].Address, "DB_PRIMARY_PORT": "7000",
		"DB_MEMBER_NAME": "shop-counter-2", "DB_MEMBER_HOST": list[2].Address,
	}
	if !reflect.DeepEqual(join.Env, want) {
		t.Errorf("join is told %v, want %v", join.Env, want)
	}
	if join.Instance != "shop-counter-0" || join.Place != "engine" || join.TimeoutMS != 30_000 || join.ID != c.Workflow+"/join shop-counter-2" {
		t.Errorf("join is %+v", join)
	}
	var told topology
	w.must(json.Unmarshal(w.twin.action("seed shop-counter-2").Context, &told))
	if len(told.Members) != 3 || told.Members[0].Role != "primary" || told.Members[0].Host != list[0].Address || told.Members[2].Ready ||
		told.ID != c.ID || len(told.Accounts) != 1 || told.Accounts[0].User != "admin" {
		t.Errorf("seed finds the context %+v", told)
	}
	for what := range w.twin.actions() {
		a := w.twin.action(what)
		text, _ := json.Marshal(a)
		if password := w.password("shop/admin"); strings.Contains(string(text), password) {
			t.Errorf("%s is told the password", what)
		}
	}
	spec, err := w.spec("shop-counter-1")
	w.must(err)
	if spec.Env["DB_HOST"] != list[1].Address || len(spec.Secrets) != 1 || spec.Secrets[0] != "shop/admin" {
		t.Errorf("the spec has environment %v and secrets %v", spec.Env, spec.Secrets)
	}
}

func TestCreateRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	w.create(Wish{Name: "till", Engine: "counter"})
	w.create(Wish{Name: "shop-counter", Engine: "counter"})
	before := w.rows(Cluster{})
	for _, tc := range []struct {
		name string
		wish Wish
		code volvox.Code
		say  string
	}{
		{"no engine", Wish{Name: "shop"}, volvox.UnknownEngine, "the engines are: counter"},
		{"unknown engine", Wish{Name: "shop", Engine: "abacus"}, volvox.UnknownEngine, "the engines are: counter"},
		{"almost an engine", Wish{Name: "shop", Engine: "conter"}, volvox.UnknownEngine, "--engine counter"},
		{"unknown version", Wish{Name: "shop", Engine: "counter", Version: "9"}, volvox.UnknownVersion, "2, 1"},
		{"unknown topology", Wish{Name: "shop", Engine: "counter", Topology: "ring"}, volvox.UnknownTopology, "standalone"},
		{"too many for the topology", Wish{Name: "shop", Engine: "counter", Topology: "standalone", Replicas: 2}, volvox.UnknownTopology, "standalone has 1 member,"},
		{"too many replicas", Wish{Name: "shop", Engine: "counter", Replicas: 6}, volvox.UnknownTopology, "replication has 2 to 5 members"},
		{"far too many replicas", Wish{Name: "shop", Engine: "counter", Replicas: 1000}, volvox.BadInput, "from 1 to 99"},
		{"negative replicas", Wish{Name: "shop", Engine: "counter", Replicas: -1}, volvox.BadInput, "from 1 to 99"},
		{"unknown parameter", Wish{Name: "shop", Engine: "counter", Params: map[string]string{"max_item": "2"}}, volvox.UnknownParameter, "max_items"},
		{"bad parameter", Wish{Name: "shop", Engine: "counter", Params: map[string]string{"max_items": "-2"}}, volvox.BadParameter, ""},
		{"no name", Wish{Engine: "counter"}, volvox.BadName, "a name starts with"},
		{"bad name", Wish{Name: "Shop!", Engine: "counter"}, volvox.BadName, `use a name such as "shop"`},
		{"bad project", Wish{Project: "A B", Name: "shop", Engine: "counter"}, volvox.BadName, "project"},
		{"taken", Wish{Name: "till", Engine: "counter"}, volvox.Exists, "volvox db delete till"},
		{"no memory", Wish{Name: "shop", Engine: "counter", MemoryBytes: 1 << 40}, volvox.NoMemory, "1Ti memory is asked for; machine m1 has"},
		{"no memory for all", Wish{Name: "shop", Engine: "counter", Replicas: 2, MemoryBytes: 5 << 30}, volvox.NoMemory, "2 members ask for 5Gi memory each"},
		{"little memory", Wish{Name: "shop", Engine: "counter", MemoryBytes: 1000}, volvox.BadInput, "the least is 8Mi"},
		{"negative memory", Wish{Name: "shop", Engine: "counter", MemoryBytes: -1}, volvox.BadInput, "the least is 8Mi"},
		{"no CPU", Wish{Name: "shop", Engine: "counter", CPUMillis: 64000}, volvox.NoCPU, "64 cpu is asked for; machine m1 has 2"},
		{"little CPU", Wish{Name: "shop", Engine: "counter", CPUMillis: 1}, volvox.BadInput, "the least is 10m"},
		{"no storage", Wish{Name: "shop", Engine: "counter", StorageBytes: 1 << 50}, volvox.NoStorage, "--storage"},
		{"little storage", Wish{Name: "shop", Engine: "counter", StorageBytes: 1}, volvox.BadInput, "the least is 1Mi"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, id, err := w.service.Create(w.ctx, tc.wish)
			if volvox.CodeOf(err) != tc.code || id != "" {
				t.Fatalf("got %q, %v (%s), want %s", id, err, volvox.CodeOf(err), tc.code)
			}
			e := volvox.AsError(err)
			if e.What == "" || e.Cause() == "" || len(e.Try) == 0 {
				t.Errorf("the error lacks what, cause or what to try: %+v", e)
			}
			if text := e.Error() + " " + strings.Join(e.Try, " "); !strings.Contains(text, tc.say) {
				t.Errorf("the error is %q, want %q in it", text, tc.say)
			}
			plan, err := w.service.Plan(w.ctx, tc.wish)
			if tc.code == volvox.Exists {
				return // a plan finds it as it is wished
			}
			if err != nil || plan.Action != ActionRefused || plan.Error == nil || plan.Error.Code != tc.code {
				t.Errorf("the plan is %+v, %v, want it refused with %s", plan, err, tc.code)
			}
		})
	}
	if after := w.rows(Cluster{}); after != before {
		t.Errorf("refused wishes changed something:\n%s\nbefore:\n%s", after, before)
	}
}

// Members of two databases cannot have the same name.
func TestCreateMemberTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	twoParts(w)
	w.boot()
	w.create(Wish{Name: "a", Engine: "counter", Topology: "twin"}) // a-b-c-0
	_, _, err := w.service.Create(w.ctx, Wish{Name: "a-b", Engine: "counter", Topology: "c"})
	if volvox.CodeOf(err) != volvox.Exists || !strings.Contains(err.Error(), "a-b-c-0") {
		t.Errorf("got %v", err)
	}
}

// twoParts gives the counter topologies of more than one component.
func twoParts(w *world) {
	w.addons[0].Topologies = append(w.addons[0].Topologies,
		addon.Topology{Name: "twin", Components: []addon.TopologyComponent{
			{Name: "b-c", Component: "counter", MinReplicas: 1, MaxReplicas: 2}, {Name: "d", Component: "counter", MinReplicas: 1, MaxReplicas: 3}}},
		addon.Topology{Name: "c", Components: []addon.TopologyComponent{{Name: "c", Component: "counter", MinReplicas: 1, MaxReplicas: 1}}})
}

func TestCreateSeveralComponents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	twoParts(w)
	w.boot()
	c := w.create(Wish{Name: "shop", Engine: "counter", Topology: "twin", Replicas: 4})
	parts, err := w.service.Components(w.ctx, "main", "shop")
	w.must(err)
	if c.Phase != volvox.Running || len(parts) != 2 || parts[0].Replicas != 2 || parts[1].Replicas != 2 || parts[1].Primary != "shop-d-0" {
		t.Errorf("%+v has components %+v", c, parts)
	}
	if ran := w.twin.actions(); ran["setup shop-d-0"] != 1 || ran["init shop-b-c-0"] != 1 || ran["seed shop-d-1"] != 1 {
		t.Errorf("the actions run are %v", ran)
	}
}

func TestCreateNotReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	s := New(Options{DB: w.db, Addons: w.addons, Instances: w.instances, Secrets: w.secrets})
	if _, _, err := s.Create(w.ctx, shop); volvox.CodeOf(err) != volvox.NotReady {
		t.Errorf("without an engine: %v", err)
	}
}

// The engine is killed behind every step and once before the first; another
// one goes on, and the rows are those of a creation that nothing disturbed.
func TestCreateKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	calm := newWorld(t).boot()
	want := calm.rows(calm.create(pair))
	for n := range pairSteps {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.limits.CreateLimit = deadline
			w.boot()
			seen := w.watch()
			c, id, err := w.service.Create(w.ctx, pair)
			w.must(err)
			if n > 0 {
				w.steps(id, seen, func(done int) bool { return done == n })
			}
			w.kill()
			w.boot()
			if info := w.ended(id); info.Status != workflow.Succeeded {
				t.Fatalf("the creation is %s: %v", info.Status, info.Error)
			}
			if got := w.rows(c); got != want {
				t.Errorf("the rows differ:\n%s\nwant:\n%s", got, want)
			}
			for what, times := range w.twin.actions() {
				if times != 1 {
					t.Errorf("%s ran %d times", what, times)
				}
			}
		})
	}
}

// The engine is killed at random moments, again and again.
func TestCreateKilledAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	calm := newWorld(t).boot()
	want := calm.rows(calm.create(shop))
	w := newWorld(t).boot()
	c, id, err := w.service.Create(w.ctx, shop)
	w.must(err)
	for range 12 {
		pause := time.NewTimer(time.Duration(random.IntN(12)) * time.Millisecond)
		<-pause.C
		w.kill()
		w.boot()
	}
	if info := w.ended(id); info.Status != workflow.Succeeded {
		t.Fatalf("the creation is %s: %v", info.Status, info.Error)
	}
	if got := w.rows(c); got != want {
		t.Errorf("the rows differ:\n%s\nwant:\n%s", got, want)
	}
}

// The real addons are planned and made, as far as rows go.
func TestCreateRealAddons(t *testing.T) {
	real, err := addon.LoadAll(os.DirFS("../addons"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range real {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addons = []*addon.Addon{a}
			w.twin.addons = w.addons
			w.boot()
			for _, replicas := range []int{1, 2} {
				name := fmt.Sprintf("shop%d", replicas)
				plan, err := w.service.Plan(w.ctx, Wish{Name: name, Engine: a.Name, Replicas: replicas})
				w.must(err)
				if plan.Action != ActionCreate || len(plan.Steps) < 4 {
					t.Errorf("the plan is %+v", plan)
				}
				if c := w.create(Wish{Name: name, Engine: a.Name, Replicas: replicas}); c.Phase != volvox.Running {
					t.Errorf("it is %+v", c)
				}
				conn, err := w.service.Connection(w.ctx, "main", name, true)
				w.must(err)
				if !strings.Contains(conn.URL, conn.Host) || len(conn.Command) == 0 || len(conn.Env) == 0 {
					t.Errorf("the connection is %+v", conn)
				}
			}
		})
	}
}
