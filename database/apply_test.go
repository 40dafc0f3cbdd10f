package database

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/workflow"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	before := w.rows(Cluster{})
	plan, err := w.service.Plan(w.ctx, Wish{Name: "shop", Engine: "counter", Replicas: 2})
	w.must(err)
	want := `place shop-counter-0 on m1 (the only machine; 7.5Gi of 7.5Gi memory free)
place shop-counter-1 on m1 (the only machine; 7.44Gi of 7.5Gi memory free)
prepare shop-counter-0
init shop-counter-0
start shop-counter-0
set up shop
prepare shop-counter-1
join shop-counter-1
seed shop-counter-1
start shop-counter-1
open shop`
	if got := strings.Join(plan.Steps, "\n"); got != want || plan.Action != ActionCreate || plan.Error != nil {
		t.Errorf("%s:\n%s\nwant:\n%s", plan.Action, got, want)
	}
	if plan.Engine != "counter" || plan.Version != "2" || plan.Topology != "replication" || len(plan.Members) != 2 ||
		plan.Members[1].Name != "shop-counter-1" || plan.Members[1].Machine != "m1" || plan.Members[1].CPUMillis != 200 ||
		plan.Members[1].MemoryBytes != 64<<20 || plan.Members[1].StorageBytes == 0 {
		t.Errorf("the plan is %+v", plan)
	}
	refused, err := w.service.Plan(w.ctx, Wish{Name: "shop", Engine: "nothing"})
	w.must(err)
	if text, err := json.Marshal(refused); err != nil || strings.Contains(string(text), "null") || refused.Error == nil {
		t.Errorf("a refused plan is %s, %v", text, err)
	}
	if after := w.rows(Cluster{}); after != before {
		t.Errorf("a plan changed something:\n%s", after)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	wishes, err := ParseFile("two.yaml", []byte("format: 1\nkind: cluster\nname: shop\nengine: counter\nreplicas: 2\nparams: {copy_every: 1min}\n---\nformat: 1\nkind: cluster\nname: till\nengine: counter\n"))
	w.must(err)
	applied, err := w.service.Apply(w.ctx, wishes)
	w.must(err)
	for _, a := range applied {
		if a.Plan.Action != ActionCreate || a.Workflow == "" {
			t.Fatalf("applied %+v", a)
		}
		if info := w.ended(a.Workflow); info.Status != workflow.Succeeded {
			t.Errorf("%s is %s: %v", a.Cluster.Name, info.Status, info.Error)
		}
	}
	again, err := w.service.Apply(w.ctx, wishes)
	w.must(err)
	for i, a := range again {
		if a.Plan.Action != ActionNone || a.Workflow != "" || a.Cluster.ID != applied[i].Cluster.ID || a.Cluster.Phase != volvox.Running {
			t.Errorf("applied again: %+v", a)
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*Wish)
		code   volvox.Code
		say    string
	}{
		{"nothing but the name", func(w *Wish) { *w = Wish{Name: "shop", Engine: "counter"} }, "", ""},
		{"the same in other words", func(w *Wish) {
			w.Version, w.Topology, w.CPUMillis, w.Params = "2", "replication", 200, map[string]string{"copy_every": "60s"}
		}, "", ""},
		{"a default spelled out", func(w *Wish) { w.Params = map[string]string{"copy_every": "60s", "label": "counter"} }, "", ""},
		{"replicas", func(w *Wish) { w.Replicas = 3 }, volvox.Unsupported, "replicas of database shop cannot be changed from 2 to 3"},
		{"version", func(w *Wish) { w.Version = "1" }, volvox.Unsupported, "version of database shop cannot be changed from 2 to 1"},
		{"memory", func(w *Wish) { w.MemoryBytes = 1 << 30 }, volvox.Unsupported, "memory of database shop cannot be changed from 64Mi to 1Gi"},
		{"cpu", func(w *Wish) { w.CPUMillis = 1000 }, volvox.Unsupported, "cpu of database shop cannot be changed from 200m to 1"},
		{"storage", func(w *Wish) { w.StorageBytes = 1 << 30 }, volvox.Unsupported, "storage of database shop cannot be changed"},
		{"parameter", func(w *Wish) { w.Params = map[string]string{"copy_every": "60s", "label": "x"} }, volvox.Unsupported, "params.label of database shop"},
		{"no parameter any more", func(w *Wish) { w.Params = map[string]string{} }, volvox.Unsupported, "params.copy_every of database shop"},
		{"engine", func(w *Wish) { w.Engine = "abacus" }, volvox.Unsupported, "engine of database shop cannot be changed from counter to abacus"},
		{"unknown parameter", func(w *Wish) { w.Params = map[string]string{"nope": "1"} }, volvox.UnknownParameter, ""},
		{"unknown version", func(w *Wish) { w.Version = "7" }, volvox.UnknownVersion, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wish := wishes[0]
			tc.change(&wish)
			before := w.rows(Cluster{})
			done, err := w.service.Apply(w.ctx, []Wish{wish, {Name: "other", Engine: "counter"}})
			if tc.code == "" {
				w.must(err)
				if done[0].Plan.Action != ActionNone || done[1].Plan.Action != ActionCreate {
					t.Errorf("applied %+v", done)
				}
				w.ended(done[1].Workflow)
				id, err := w.service.Delete(w.ctx, "main", "other")
				w.must(err)
				w.ended(id)
				return
			}
			if volvox.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.say) {
				t.Errorf("got %v (%s), want %s: %s", err, volvox.CodeOf(err), tc.code, tc.say)
			}
			if after := w.rows(Cluster{}); after != before {
				t.Errorf("a refused file changed something:\n%s", after)
			}
		})
	}
}

// Wishes of one file do not take each other's room.
func TestApplyTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	wishes := []Wish{{Name: "a", Engine: "counter", MemoryBytes: 4 << 30}, {Name: "b", Engine: "counter", MemoryBytes: 4 << 30}}
	plans, err := w.service.PlanAll(w.ctx, wishes)
	w.must(err)
	if plans[0].Error != nil || plans[1].Error == nil || plans[1].Error.Code != volvox.NoMemory {
		t.Errorf("the plans are %+v", plans)
	}
	if _, err := w.service.Apply(w.ctx, wishes); volvox.CodeOf(err) != volvox.NoMemory {
		t.Errorf("got %v", err)
	}
	w.nothingLeft()
}

func TestConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	if _, err := w.service.Connection(w.ctx, "main", "shop", false); volvox.CodeOf(err) != volvox.NotFound {
		t.Errorf("of nothing: %v", err)
	}
	w.create(shop)
	first, err := w.instances.Get(w.ctx, "main", "shop-counter-0")
	w.must(err)
	password := w.password("shop/admin")
	masked, err := w.service.Connection(w.ctx, "main", "shop", false)
	w.must(err)
	if masked.URL != "http://admin:****@"+first.Address+":7000/items" || masked.Host != first.Address || masked.Port != 7000 || masked.User != "admin" || masked.Env != nil {
		t.Errorf("masked: %+v", masked)
	}
	before := len(w.events("cluster", "shop"))
	revealed, err := w.service.Connection(w.ctx, "main", "shop", true)
	w.must(err)
	if revealed.URL != "http://admin:"+password+"@"+first.Address+":7000/items" || revealed.Env["COUNTER_PASSWORD"] != password {
		t.Errorf("revealed: %+v", revealed)
	}
	if text := strings.Join(revealed.Command, " "); strings.Contains(text, password) || !strings.Contains(text, first.Address) {
		t.Errorf("the command is %s", text)
	}
	events := w.events("cluster", "shop")
	if last := events[len(events)-1]; len(events) != before+1 || !strings.Contains(last.Message, "shown to user:test") || last.Level != "warning" {
		t.Errorf("revealing is not recorded: %+v", events)
	}
	session, err := w.service.Session(w.ctx, "main", "shop")
	w.must(err)
	if session.Env["COUNTER_PASSWORD"] != password {
		t.Errorf("the program of a session is not told the password: %+v", session)
	}
	events = w.events("cluster", "shop")
	if last := events[len(events)-1]; len(events) != before+2 || last.Message != "user:test opened a session as account admin" || last.Level != "info" {
		t.Errorf("a session is not recorded as one: %+v", last)
	}
	for _, e := range events {
		if strings.Contains(e.Message, password) {
			t.Errorf("an event tells the password: %s", e.Message)
		}
	}
}

func TestConnectionEscapes(t *testing.T) {
	kind := &addon.Component{URL: "x://{user}:{password}@{host}:{port}/db",
		Client: addon.Client{Command: []string{"client", "{user}@{host}"}, Env: map[string]string{"PW": "{password}"}, Package: "client-tools"}}
	conn := connect(kind, "a b", "p@ss/w:rd?#% {host}", "100.64.0.2", true)
	u, err := url.Parse(conn.URL)
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := u.User.Password(); p != "p@ss/w:rd?#% {host}" || u.User.Username() != "a b" || u.Hostname() != "100.64.0.2" {
		t.Errorf("the URL is %s", conn.URL)
	}
	if conn.Env["PW"] != "p@ss/w:rd?#% {host}" || conn.Package != "client-tools" || conn.Command[1] != "a b@100.64.0.2" {
		t.Errorf("the client is %v with %v", conn.Command, conn.Env)
	}
}
