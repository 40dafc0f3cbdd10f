package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// twinRuntime is a runtime in memory: a container's program is a Go function
// that runs in a goroutine. It outlives agents, as a real one does.
type twinRuntime struct {
	programs map[string]program

	mu      sync.Mutex
	boxes   map[string]*box
	execs   map[string]bool
	heard   map[chan Event]bool
	starts  map[string]int // how often a container of the ID was started
	overlap []string       // what must never happen
}

// program is what a command's first word names.
type program func(p *process) int

// process is a program being run, in a container or by Exec.
type process struct {
	context.Context // ends when it is killed
	box             *box
	args            []string
	env             map[string]string
	signal          chan string
	out             io.Writer
}

type box struct {
	Container
	status Status
	main   *process
	kill   context.CancelFunc
	done   chan struct{}
	oom    bool
}

func newTwinRuntime() *twinRuntime {
	return &twinRuntime{boxes: map[string]*box{}, execs: map[string]bool{}, heard: map[chan Event]bool{}, starts: map[string]int{}, programs: basic()}
}

// path is where a path of the container is on the machine.
func (p *process) path(inside string) string {
	for _, b := range slices.Backward(p.box.Binds) {
		if rest, ok := strings.CutPrefix(inside, b.Target); ok && (rest == "" || rest[0] == '/') {
			return filepath.Join(b.Source, rest)
		}
	}
	return filepath.Join(p.box.Rootfs, inside)
}

func (p *process) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// appendTo adds a line to a file of the container.
func (p *process) appendTo(inside, line string) {
	f, err := os.OpenFile(p.path(inside), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		fmt.Fprintln(f, line)
		err = f.Close()
	}
	if err != nil {
		p.say("cannot write %s: %v", inside, err)
	}
}

func environ(pairs []string) map[string]string {
	env := map[string]string{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		env[name] = value
	}
	return env
}

func (r *twinRuntime) Create(ctx context.Context, c Container) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boxes[c.ID]; b != nil && b.status.State == Up {
		return nil
	}
	other := strings.TrimSuffix(c.ID, jobSuffix)
	if other == c.ID {
		other += jobSuffix
	}
	if b := r.boxes[other]; b != nil && b.status.State == Up {
		r.overlap = append(r.overlap, c.ID+" was started while "+other+" ran")
	}
	for _, b := range c.Binds {
		if _, err := os.Stat(b.Source); err != nil {
			return fmt.Errorf("bind %s: %w", b.Target, err)
		}
	}
	f := r.programs[c.Command[0]]
	if f == nil {
		return fmt.Errorf("no program %s", c.Command[0])
	}
	log, err := os.OpenFile(c.LogPath, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	run, kill := context.WithCancel(context.Background())
	b := &box{Container: c, kill: kill, done: make(chan struct{})}
	b.main = &process{Context: run, box: b, args: c.Command[1:], env: environ(c.Env), signal: make(chan string, 1), out: log}
	b.status = Status{ID: c.ID, State: Up, PID: 1, StartedAt: time.Now(), Labels: maps.Clone(c.Labels)}
	r.boxes[c.ID] = b
	r.starts[c.ID]++
	go func() {
		defer close(b.done)
		defer log.Close()
		exit := f(b.main)
		r.mu.Lock()
		defer r.mu.Unlock()
		if run.Err() != nil {
			exit = 137
		}
		kill()
		b.status.State, b.status.ExitCode, b.status.EndedAt, b.status.OOMKilled = Ended, exit, time.Now(), b.oom
		r.tell(Event{Kind: "exit", ID: c.ID})
	}()
	return nil
}

func (r *twinRuntime) tell(e Event) {
	for c := range r.heard {
		select {
		case c <- e:
		default:
		}
	}
}

// crash ends a program from outside.
func (r *twinRuntime) crash(id string, oom bool) {
	r.mu.Lock()
	b := r.boxes[id]
	b.oom = oom
	r.mu.Unlock()
	b.kill()
	<-b.done
}

func (r *twinRuntime) Stop(ctx context.Context, id, signal string, grace time.Duration) error {
	r.mu.Lock()
	b := r.boxes[id]
	r.mu.Unlock()
	if b == nil {
		return nil
	}
	select {
	case b.main.signal <- signal:
	default:
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		b.kill()
		<-b.done
		return nil
	}
}

func (r *twinRuntime) Remove(ctx context.Context, id string) error {
	r.mu.Lock()
	b := r.boxes[id]
	r.mu.Unlock()
	if b == nil {
		return nil
	}
	b.kill()
	<-b.done
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.boxes, id)
	return ctx.Err()
}

func (r *twinRuntime) List(ctx context.Context) ([]Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Status
	for _, b := range r.boxes {
		all = append(all, b.status)
	}
	return all, ctx.Err()
}

func (r *twinRuntime) Exec(ctx context.Context, id string, e Exec) (int, error) {
	r.mu.Lock()
	b := r.boxes[id]
	if b == nil || b.status.State != Up {
		r.mu.Unlock()
		return 0, fmt.Errorf("container %s does not run", id)
	}
	key := id + "/" + e.ID
	if r.execs[key] {
		r.mu.Unlock()
		return 0, errors.New("is executed already")
	}
	r.execs[key] = true
	f := r.programs[e.Command[0]]
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.execs, key)
		r.mu.Unlock()
	}()
	run, kill := context.WithCancel(ctx)
	defer kill()
	defer context.AfterFunc(b.main, kill)()
	out := e.Stdout
	if out == nil {
		out = io.Discard
	}
	env := environ(append(slices.Clone(b.Env), e.Env...))
	exit := f(&process{Context: run, box: b, args: e.Command[1:], env: env, signal: make(chan string), out: out})
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if run.Err() != nil {
		return 137, nil
	}
	return exit, nil
}

func (r *twinRuntime) Events(ctx context.Context) iter.Seq[Event] {
	c := make(chan Event, 100)
	r.mu.Lock()
	r.heard[c] = true
	r.mu.Unlock()
	c <- Event{Kind: "gap"}
	return func(yield func(Event) bool) {
		defer func() {
			r.mu.Lock()
			delete(r.heard, c)
			r.mu.Unlock()
		}()
		for {
			select {
			case e := <-c:
				if !yield(e) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (r *twinRuntime) Metrics(ctx context.Context, id string) (Metrics, error) {
	return Metrics{Pids: 1}, ctx.Err()
}

func (r *twinRuntime) Close() error { return nil }

// basic are the programs that tests run.
func basic() map[string]program {
	return map[string]program{
		// serve runs until it is asked to end, and then takes its leave.
		"serve": func(p *process) int {
			p.say("serving")
			p.appendTo("/data/served", p.box.ID)
			select {
			case s := <-p.signal:
				p.appendTo("/data/stopped", s)
				return 0
			case <-p.Done():
				return 137
			}
		},
		// fail ends at once.
		"fail": func(p *process) int { p.say("cannot go on"); return 7 },
		// probe says that it is ready until it is killed.
		"probe": func(p *process) int {
			for n := 1; ; n++ {
				p.say(`{"ready":true,"role":"chief","position":[%d]}`, n)
				t := time.NewTimer(time.Second)
				select {
				case <-t.C:
				case <-p.Done():
					return 1
				}
			}
		},
		// note adds its name to a file and answers.
		"note": func(p *process) int {
			p.appendTo("/data/notes", p.args[0])
			p.say("noted %s", p.args[0])
			return answer(p, `{"noted":"`+p.args[0]+`"}`)
		},
		"hang": func(p *process) int { <-p.Done(); return 1 },
		// exits takes its exit codes from its arguments, one for each call.
		"exits": func(p *process) int {
			p.appendTo("/data/calls", "x")
			b, err := os.ReadFile(p.path("/data/calls"))
			if err != nil {
				return 99
			}
			n := bytes.Count(b, []byte("\n"))
			var exit int
			fmt.Sscan(p.args[min(n, len(p.args))-1], &exit)
			return exit
		},
		"answer": func(p *process) int { return answer(p, p.args[0]) },
		// link makes its answer a link to a file of the machine.
		"link": func(p *process) int {
			if err := os.Symlink(p.args[0], p.path(p.env["DB_OUT"])); err != nil {
				p.say("%v", err)
				return 1
			}
			return 0
		},
		// context answers what it was told.
		"context": func(p *process) int {
			b, err := os.ReadFile(p.path(p.env["DB_CTX"]))
			if err != nil {
				p.say("%v", err)
				return 1
			}
			secret, err := os.ReadFile(p.path(p.env["DB_SECRETS"] + "/admin"))
			if err != nil {
				p.say("%v", err)
				return 1
			}
			return answer(p, fmt.Sprintf(`{"context":%s,"env":%q,"length":%d}`, b, p.env["DB_NAME"], len(secret)))
		},
	}
}

func answer(p *process, text string) int {
	if err := os.WriteFile(p.path(p.env["DB_OUT"]), []byte(text), 0o644); err != nil {
		p.say("%v", err)
		return 1
	}
	return 0
}

// twinNetwork remembers what is attached.
type twinNetwork struct {
	mu       sync.Mutex
	attached map[string]string
}

func (n *twinNetwork) Attach(ctx context.Context, id, address string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	n.attached[id] = address
	return "/netns/" + id, nil
}

func (n *twinNetwork) Detach(ctx context.Context, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.attached, id)
	return ctx.Err()
}

func (n *twinNetwork) List(ctx context.Context) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.attached)), ctx.Err()
}

// twinImages has every image, unless it is told to fail.
type twinImages struct {
	dir string

	mu   sync.Mutex
	have map[string]bool
	fail func(ref string) error
}

func (i *twinImages) Ensure(ctx context.Context, ref string, progress func(string)) (Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fail != nil {
		if err := i.fail(ref); err != nil {
			return Image{}, err
		}
	}
	if progress != nil && !i.have[ref] {
		progress("fetching " + ref)
	}
	i.have[ref] = true
	return Image{Ref: ref, Digest: "sha256:" + ref, Rootfs: i.dir}, ctx.Err()
}

func (i *twinImages) has(ref string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.have[ref]
}

func (i *twinImages) Collect(ctx context.Context, inUse []string) (removed []Image, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for ref := range i.have {
		if !slices.Contains(inUse, ref) && !slices.Contains(inUse, "sha256:"+ref) {
			delete(i.have, ref)
			removed = append(removed, Image{Ref: ref, Digest: "sha256:" + ref})
		}
	}
	return removed, ctx.Err()
}

// counting counts how often containers are listed.
type counting struct {
	*twinRuntime
	lists *atomic.Int64
}

func (c *counting) List(ctx context.Context) ([]Status, error) {
	c.lists.Add(1)
	return c.twinRuntime.List(ctx)
}
