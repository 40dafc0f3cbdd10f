package runtimetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/instance"
)

// adopt: containers go on without a client, and what happens to them
// meanwhile is known to the next one.
func (b *bench) adopt(t *testing.T) {
	stays := b.shell(t, "adopt1", forever)
	ends := b.shell(t, "adopt2", `touch /data/ready; while [ ! -e /data/go ]; do usleep 5000; done; exit 9`)
	dir := data(t, &ends)
	hogs := b.shell(t, "adopt3", `while [ ! -e /data/go ]; do usleep 5000; done; exec `+hog)
	hogs.Limits.MemoryBytes = 24 << 20
	hogs.Binds = ends.Binds
	running := make(chan error, 1)
	for _, c := range []agent.Container{stays, ends, hogs} {
		b.create(t, c)
	}
	ready, say := io.Pipe()
	go func() {
		defer say.Close()
		_, err := b.r.Exec(t.Context(), stays.ID, agent.Exec{ID: "adopted", Command: []string{"/bin/sh", "-c", "echo ready; sleep 2001"}, Stdout: say})
		running <- err
	}()
	if _, err := ready.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	before := b.must(t, stays.ID, agent.Up)
	pids := []int{b.must(t, ends.ID, agent.Up).PID, b.must(t, hogs.ID, agent.Up).PID}

	b.close(t)
	if err := <-running; !volvox.IsKind(err, volvox.KindUnavailable) {
		t.Errorf("the command of a closed runtime: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	until(t, "the containers end", func() bool { return !alive(pids[0]) && !alive(pids[1]) })
	b.open(t)

	if s := b.must(t, stays.ID, agent.Up); s.PID != before.PID || s.Labels["name"] != "host-"+stays.ID || !s.StartedAt.Equal(before.StartedAt) {
		t.Errorf("adopted %+v, was %+v", s, before)
	}
	if left := b.sh(t, stays.ID, "ps | grep -c '[s]leep 2001'; true"); left != "0" {
		t.Errorf("%s commands outlived their client", left)
	}
	if s := b.ended(t, ends.ID); s.ExitCode != 9 || s.OOMKilled {
		t.Errorf("ended meanwhile: %+v", s)
	}
	if s := b.ended(t, hogs.ID); s.ExitCode != 137 || !s.OOMKilled {
		t.Errorf("ran out of memory meanwhile: %+v", s)
	}
	b.create(t, stays)
	if s := b.must(t, stays.ID, agent.Up); s.PID != before.PID {
		t.Error("an adopted container was made again")
	}
}

// leftovers: each is listed as Broken, and removed or replaced.
func (b *bench) leftovers(t *testing.T) {
	if len(b.Plant) == 0 {
		t.Fatal("the suite plants nothing")
	}
	for name, plant := range b.Plant {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			c := b.shell(t, "left1", "exit 4")
			plant(t, b.dir, b.r, c.ID)
			b.must(t, c.ID, agent.Broken)
			if _, err := b.r.Exec(t.Context(), c.ID, agent.Exec{ID: "x", Command: []string{"true"}}); err == nil {
				t.Error("a command ran in it")
			}
			if err := b.r.Stop(t.Context(), c.ID, "", time.Second); err != nil {
				t.Errorf("stop: %v", err)
			}
			if err := b.r.Remove(t.Context(), c.ID); err != nil {
				t.Fatalf("remove: %v", err)
			}
			if s, listed := b.find(t, c.ID); listed {
				t.Errorf("removed, and listed as %+v", s)
			}
			plant(t, b.dir, b.r, c.ID)
			b.create(t, c)
			if s := b.ended(t, c.ID); s.ExitCode != 4 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// daemonKilled: containers do not notice, and calls wait for the next daemon.
func (b *bench) daemonKilled(t *testing.T) {
	serves := b.shell(t, "daemon1", `while :; do echo x >>/data/n; usleep 5000; done`)
	dir := data(t, &serves)
	ends := b.shell(t, "daemon2", `while [ ! -e /data/go ]; do usleep 5000; done; exit 9`)
	ends.Binds = serves.Binds
	b.create(t, serves)
	b.create(t, ends)
	events := b.follow(t)
	pid := b.must(t, serves.ID, agent.Up).PID
	result := make(chan string, 1)
	ready, say := io.Pipe()
	in, feed := io.Pipe()
	go func() {
		defer say.Close()
		var out bytes.Buffer
		code, err := b.r.Exec(t.Context(), serves.ID, agent.Exec{ID: "daemon", Command: []string{"/bin/sh", "-c", "echo ready >&2; cat; exit 3"}, Stdin: in, Stdout: &out, Stderr: say})
		result <- fmt.Sprint(code, err, out.String())
	}()
	if _, err := ready.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		gaps := events.count(agent.Event{Kind: "gap"})
		end(t, b.Daemon(t, b.dir))
		if got := b.sh(t, serves.ID, "echo works"); got != "works" {
			t.Errorf("a command said %q", got)
		}
		if s := b.must(t, serves.ID, agent.Up); s.PID != pid {
			t.Errorf("the container is another: %+v", s)
		}
		until(t, "a gap in the events", func() bool { return events.count(agent.Event{Kind: "gap"}) > gaps })
	}
	io.WriteString(feed, "still here")
	feed.Close()
	if got := <-result; got != "3 <nil>still here" {
		t.Errorf("a command that went on meanwhile: %s", got)
	}

	// With nobody to start the daemon again, it stays away.
	ended := b.must(t, ends.ID, agent.Up).PID
	b.close(t)
	end(t, b.Daemon(t, b.dir))
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "n"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	until(t, "the container goes on", func() bool { return size() > before+10 })
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	until(t, "the other ends", func() bool { return !alive(ended) })
	b.open(t)
	if s := b.must(t, serves.ID, agent.Up); s.PID != pid {
		t.Errorf("the container is another: %+v", s)
	}
	if s := b.ended(t, ends.ID); s.ExitCode != 9 || s.OOMKilled {
		t.Errorf("ended without a daemon: %+v", s)
	}
}

// daemonKilledAtRandom kills the daemon while containers are made, used and
// removed: every call succeeds or says that it is unknown, and nothing is
// begun twice.
func (b *bench) daemonKilledAtRandom(t *testing.T) {
	if twice := repeated("a\nb\na\n"); len(twice) != 1 {
		t.Fatalf("a command begun twice is not seen: %q", twice)
	}
	random := seeded(t)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range 2 {
		c := b.shell(t, fmt.Sprintf("random%d", w), `echo $$ >>/data/begun; `+forever)
		dir := data(t, &c)
		all.Go(func() { b.work(t, c, dir, stop) })
	}
	for range 5 {
		<-time.After(time.Duration(50+random.IntN(400)) * time.Millisecond)
		end(t, b.Daemon(t, b.dir))
		if _, err := b.r.List(t.Context()); err != nil {
			t.Errorf("list: %v", err)
		}
	}
	close(stop)
	all.Wait()
}

// work makes, uses and removes a container until told to stop.
func (b *bench) work(t *testing.T, c agent.Container, dir string, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		os.Remove(filepath.Join(dir, "begun"))
		if err := b.r.Create(t.Context(), c); err != nil {
			t.Errorf("create: %v", err)
			return
		}
		for i := range 3 {
			name := fmt.Sprintf("exec-%d-%d", n, i)
			code, err := b.r.Exec(t.Context(), c.ID, agent.Exec{ID: name, Command: []string{"/bin/sh", "-c", "echo " + name + " >>/data/execs; exit 5"}})
			if err == nil && code != 5 || err != nil && !volvox.IsKind(err, volvox.KindUnavailable) {
				t.Errorf("exec: exit %d, %v", code, err)
			}
		}
		if err := b.r.Remove(t.Context(), c.ID); err != nil {
			t.Errorf("remove: %v", err)
			return
		}
		execs, _ := os.ReadFile(filepath.Join(dir, "execs"))
		if twice := repeated(string(execs)); len(twice) > 0 {
			t.Errorf("begun twice: %q", twice)
			return
		}
	}
}

// repeated returns the lines that a text has more than once.
func repeated(text string) (twice []string) {
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		if seen[line] {
			twice = append(twice, line)
		}
		seen[line] = true
	}
	return twice
}

// clientKilled kills a client that makes, uses and removes a container. The
// next one finds what there is and can go on.
func (b *bench) clientKilled(t *testing.T) {
	random := seeded(t)
	b.close(t)
	dir := t.TempDir()
	if err := os.Chown(dir, UID, UID); err != nil {
		t.Fatal(err)
	}
	states := map[agent.State]int{}
	for range 6 {
		cmd, out := child(t, strings.Join([]string{b.dir, b.rootfs, dir}, ":"))
		lines := bufio.NewReader(out)
		if line, _ := lines.ReadString('\n'); line != "ready\n" {
			rest, _ := io.ReadAll(lines)
			t.Fatalf("the client says: %s%s", line, rest)
		}
		<-time.After(time.Duration(random.IntN(250_000)) * time.Microsecond)
		cmd.Process.Kill()
		if rest, _ := io.ReadAll(lines); len(rest) > 0 {
			t.Errorf("the client says: %s", rest)
		}
		cmd.Wait()
		b.open(t)
		s, listed := b.find(t, "client1")
		states[s.State]++
		_, err := os.Stat(filepath.Join(dir, "removing"))
		stays := listed && s.State == agent.Up && err != nil // nobody has asked for its end
		if stays {
			if got := b.sh(t, "client1", "ps | grep -c '[s]leep 3001'; true"); got != "0" {
				t.Errorf("%s commands outlived their client", got)
			}
		}
		c := clientContainer(b.rootfs, dir)
		b.create(t, c)
		if got := b.must(t, c.ID, agent.Up); stays && got.PID != s.PID {
			t.Errorf("a container that ran was made again: %+v, then %+v", s, got)
		}
		if err := b.r.Remove(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, "removing"))
		b.close(t)
	}
	t.Logf("found %v", states)
	b.open(t)
}

func clientContainer(rootfs, dir string) agent.Container {
	return agent.Container{
		ID: "client1", Rootfs: rootfs, UID: UID, Command: []string{"/bin/sh", "-c", forever},
		Binds:  []agent.Bind{{Source: dir, Target: "/data"}},
		Limits: instance.Limits{CPUMillis: 1000, MemoryBytes: 32 << 20, Pids: 32},
	}
}

// client is the process that clientKilled kills.
func client(s Suite, arg string) int {
	ctx := context.Background()
	parts := strings.Split(arg, ":")
	r, err := s.Open(ctx, parts[0])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	c := clientContainer(parts[1], parts[2])
	for i := 0; ; i++ {
		limited, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := r.Create(ctx, c)
		if err == nil {
			_, err = r.Exec(limited, c.ID, agent.Exec{ID: fmt.Sprint("e", i), Command: []string{"/bin/sh", "-c", "sleep 3001"}, Stdout: io.Discard})
		}
		cancel()
		mark := filepath.Join(parts[2], "removing")
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			err = errors.Join(os.WriteFile(mark, nil, 0o600), r.Remove(ctx, c.ID), os.Remove(mark))
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
	}
}

// nothingLeft: purging a computer removes all of it from the machine, and
// what looks for leftovers sees them while they are there.
func (b *bench) nothingLeft(t *testing.T) {
	dir := b.Dir(t)
	r, err := b.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	own := &bench{Suite: b.Suite, dir: dir, rootfs: b.rootfs, r: r}
	up, ended := own.shell(t, "nothing1", forever), own.shell(t, "nothing2", "exit 1")
	up.LogPath = filepath.Join(dir, "log")
	own.create(t, up)
	own.create(t, ended)
	own.ended(t, ended.ID)
	pid := own.must(t, up.ID, agent.Up).PID
	if found := b.Traces(t, dir); len(found) == 0 {
		t.Error("a computer that runs containers leaves no trace: the search is blind")
	}
	own.r = nil
	if err := b.Purge(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing is left", func() bool { return len(b.Traces(t, dir)) == 0 })
	if alive(pid) {
		t.Error("a container's program is left")
	}
}

func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
