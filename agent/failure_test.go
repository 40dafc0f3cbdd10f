package agent

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// A program that ends is started again, later each time, until it is ready.
func TestCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		s := spec()
		s.Command, s.Probe.Command = []string{"fail"}, []string{"hang"}
		began := time.Now()
		id := w.wish("a", instance.Run, s)
		i := w.reaches("a", volvox.Failed, false)
		if i.Restarts != crashes || i.Code != volvox.Crashed || *i.ExitCode != 7 || !strings.Contains(i.Message, "exit code 7") {
			t.Errorf("it is %+v", i)
		}
		if took := time.Since(began); took < 6*time.Second || took > 8*time.Second {
			t.Errorf("it was Failed after %s", took) // 0.2 + 0.4 + 0.8 + 1.6 + 3.2 s, on the test's clock
		}
		<-time.After(10 * time.Minute) // on the test's clock
		synctest.Wait()
		if n := w.runtime.starts[string(id)]; n < 20 || n > 35 {
			t.Errorf("in 10 minutes it was started %d times", n)
		}
		w.want(id, instance.Run, func(s *instance.Spec) { s.Command, s.Probe = []string{"serve"}, spec().Probe })
		i = w.reaches("a", volvox.Running, true)
		if i.Code != "" || i.Message != "" || *i.ExitCode != 7 {
			t.Errorf("when it is well again, it is %+v", i)
		}
		n := i.Restarts
		w.runtime.crash(string(id), true)
		w.control.await(t, "out of memory", func(rows map[string]instance.Instance) bool {
			return rows["a"].Code == volvox.OutOfMemory && !rows["a"].Ready && rows["a"].Restarts == n+1 && *rows["a"].ExitCode == 137
		})
		i = w.reaches("a", volvox.Running, true)
		if i.Code != "" {
			t.Errorf("ready again, it is %+v", i)
		}
		w.stop()
		events := strings.Join(w.control.events, "\n")
		if strings.Count(events, "exit code 7") < 20 || strings.Count(events, "memory limit") != 1 {
			t.Errorf("events: %s", events)
		}
	})
}

// A fault that may pass makes an instance Failed only after a minute, another
// one at once; both end when the cause does.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		code  volvox.Code
		after time.Duration
	}{
		{"passing", volvox.Errorf(volvox.MirrorUnavailable, "the mirror does not answer"), volvox.MirrorUnavailable, time.Minute},
		{"unknown", errKilled, volvox.Internal, time.Minute},
		{"lasting", volvox.Errorf(volvox.NoPackage, "there is no package box"), volvox.NoPackage, 0},
		{"corrupt", volvox.Errorf(volvox.Checksum, "the package is not what was promised"), volvox.Checksum, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.images.fail = func(string) error { return c.err }
				w.start()
				began := time.Now()
				w.wish("a", instance.Halt, spec())
				w.control.await(t, "the fault is told", func(rows map[string]instance.Instance) bool { return rows["a"].Code == c.code })
				i := w.reaches("a", volvox.Failed, false)
				if took := time.Since(began); took < c.after || took > c.after+40*time.Second {
					t.Errorf("it was Failed after %s", took)
				}
				if i.Message == "" {
					t.Error("it does not say why")
				}
				w.images.mu.Lock()
				w.images.fail = nil
				w.images.mu.Unlock()
				if c.after == 0 {
					<-time.After(hopeless - time.Minute) // on the test's clock
				}
				i = w.reaches("a", volvox.Stopped, false)
				if i.Code != "" || i.Message != "" {
					t.Errorf("when it is well again, it is %+v", i)
				}
				w.stop()
			})
		})
	}
}

// While the control is away, programs are kept running, and the newest facts
// are told when it is back.
func TestControlAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		id := w.wish("a", instance.Run, spec())
		w.reaches("a", volvox.Running, true)
		w.control.change(func() { w.control.away = volvox.Errorf(volvox.Unavailable, "nobody answers") })
		before := w.control.told()
		for range 3 {
			w.runtime.crash(string(id), false)
			<-time.After(5 * time.Second) // on the test's clock
			synctest.Wait()
		}
		if !w.running(id) || w.runtime.starts[string(id)] != 4 {
			t.Errorf("it was started %d times", w.runtime.starts[string(id)])
		}
		w.control.change(func() { w.control.away = nil })
		w.control.await(t, "the newest facts", func(rows map[string]instance.Instance) bool {
			return rows["a"].Restarts == 3 && rows["a"].Ready
		})
		if n := w.control.told() - before; n > 3 {
			t.Errorf("%d reports were sent for what one could say", n)
		}
		if n := strings.Count(strings.Join(w.control.events, "; "), "exit code 137"); n != 3 {
			t.Errorf("of 3 ends %d were told: %q", n, w.control.events)
		}
		w.stop()
	})
}

// An agent with nothing to do does nothing: a probe's positions are not told,
// and the runtime is not asked more than once a minute.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked atomic.Int64
		w.options.Runtime = &counting{twinRuntime: w.runtime, lists: &asked}
		w.start()
		for _, name := range []string{"a", "b", "c"} {
			w.wish(name, instance.Run, spec())
			w.reaches(name, volvox.Running, true)
		}
		<-time.After(time.Minute) // on the test's clock
		synctest.Wait()
		reports := w.control.told()
		asked.Store(0)
		<-time.After(10 * time.Minute) // on the test's clock
		synctest.Wait()
		if n := w.control.told() - reports; n != 0 {
			t.Errorf("%d reports of nothing", n)
		}
		if n := asked.Load(); n > 40 {
			t.Errorf("the runtime was asked %d times in 10 minutes", n)
		}
		w.stop()
	})
}

// A probe that says nothing, or ends, is noticed and started again.
func TestProbeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mute atomic.Bool
		w.runtime.programs["moody"] = func(p *process) int {
			if mute.Load() {
				<-p.Done()
				return 1
			}
			p.say(`{"ready":true,"role":"chief"}`)
			p.say("no JSON")
			<-time.After(time.Second) // on the test's clock
			return 3
		}
		w.start()
		s := spec()
		s.Probe.Command = []string{"moody"}
		w.wish("a", instance.Run, s)
		w.reaches("a", volvox.Running, true)
		<-time.After(time.Minute) // on the test's clock
		synctest.Wait()
		mute.Store(true)
		i := w.reaches("a", volvox.Running, false)
		if !strings.Contains(i.Message, "says nothing") {
			t.Errorf("it says %q", i.Message)
		}
		mute.Store(false)
		if i := w.reaches("a", volvox.Running, true); i.Message != "" || i.Restarts != 0 {
			t.Errorf("well again, it is %+v", i)
		}
		w.stop()
	})
}

// Images that nothing uses go, at the start and some time after a removal.
func TestImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.images.have["deb:old"] = true
		w.start()
		<-w.agent.Ready()
		synctest.Wait()
		if w.images.has("deb:old") {
			t.Error("an unused image is there after the start")
		}
		s := spec()
		s.Image = "deb:other"
		a, _ := w.wish("a", instance.Run, spec()), w.wish("b", instance.Run, s)
		w.reaches("a", volvox.Running, true)
		w.reaches("b", volvox.Running, true)
		synctest.Wait()
		if !w.control.has("deb:box") || !w.control.has("deb:other") {
			t.Error("that they came was not told")
		}
		w.want(a, instance.Remove, nil)
		w.disappears("a")
		<-time.After(5 * time.Minute) // on the test's clock
		synctest.Wait()
		if !w.images.has("deb:box") {
			t.Error("an image went at once")
		}
		<-time.After(6 * time.Minute) // on the test's clock
		synctest.Wait()
		if w.images.has("deb:box") || !w.images.has("deb:other") {
			t.Error("in the end other images are there than are used")
		}
		if w.control.has("deb:box") {
			t.Error("that it went was not told")
		}
		w.stop()
	})
}

// An image that a program runs from stays, though another one is wished for
// that cannot be fetched.
func TestImageInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		id := w.wish("a", instance.Run, spec())
		w.reaches("a", volvox.Running, true)
		other := w.wish("b", instance.Halt, spec())
		w.images.mu.Lock()
		w.images.fail = func(ref string) error {
			if ref == "deb:new" {
				return volvox.Errorf(volvox.NoPackage, "there is no package new")
			}
			return nil
		}
		w.images.mu.Unlock()
		w.want(id, instance.Run, func(s *instance.Spec) { s.Image = "deb:new" })
		w.reaches("a", volvox.Failed, true)
		w.want(other, instance.Remove, nil)
		w.disappears("b")
		<-time.After(11 * time.Minute) // on the test's clock
		synctest.Wait()
		if !w.running(id) || !w.images.has("deb:box") {
			t.Error("the image was taken from under the program")
		}
		w.stop()
	})
}

// A program that ends by itself was not ended by its memory limit, though one
// of its processes was once.
func TestMemoryLimitLongAgo(t *testing.T) {
	w := newWorld(t)
	w.runtime.programs["quit"] = func(p *process) int {
		p.box.oom = true
		<-p.signal
		return 3
	}
	w.start()
	s := spec()
	s.Command = []string{"quit"}
	id := w.wish("a", instance.Run, s)
	w.reaches("a", volvox.Running, true)
	if err := w.runtime.Stop(t.Context(), string(id), "SIGTERM", time.Minute); err != nil {
		t.Fatal(err)
	}
	w.control.await(t, "it ended", func(rows map[string]instance.Instance) bool { return rows["a"].Restarts == 1 })
	w.control.mu.Lock()
	defer w.control.mu.Unlock()
	if e := w.control.events; len(e) != 1 || !strings.Contains(e[0], "ended with exit code 3; its memory limit had been reached before") {
		t.Errorf("events %q", e)
	}
}

// slowImages never has the image.
type slowImages struct {
	*twinImages
	asked chan struct{}
}

func (i slowImages) Ensure(ctx context.Context, ref string, progress func(string)) (Image, error) {
	close(i.asked)
	<-ctx.Done()
	return Image{}, ctx.Err()
}

// An instance that is deleted while its image is being fetched goes at once,
// and the fetching ends.
func TestRemoveWhileFetching(t *testing.T) {
	w := newWorld(t)
	images := slowImages{w.images, make(chan struct{})}
	w.options.Images = images
	w.start()
	id := w.wish("a", instance.Run, spec())
	<-images.asked
	w.want(id, instance.Remove, nil)
	w.disappears("a")
	w.nothingLeft()
}
