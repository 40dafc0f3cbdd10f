package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox/agent/runtimetest"
)

// The tests of this file run agents on the real parts: the kernel, containerd
// and the network. They do so on a machine of their own: a network and a mount
// namespace, with a /run of its own, that end with the test.

const (
	machineEnv = "VOLVOX_TEST_MACHINE" // this process is on such a machine
	lifeEnv    = "VOLVOX_TEST_LIFE"    // be a computer with an agent, in this directory
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(lifeEnv) != "":
		os.Exit(life(os.Getenv(lifeEnv)))
	case os.Getenv(machineEnv) != "":
		os.Exit(m.Run())
	default:
		goleak.VerifyTestMain(m)
	}
}

// onMachine runs the calling test on a machine of its own. False means that
// this has been done, and the test is over.
func onMachine(t *testing.T) bool {
	t.Helper()
	if os.Getenv(machineEnv) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=4m")
		cmd.Env = append(os.Environ(), machineEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil || testing.Verbose() {
			t.Logf("on its machine:\n%s", out)
			if err != nil {
				t.Error(err)
			}
		}
		return false
	}
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("run", "/run", "tmpfs", 0, "mode=0755") },
		func() error { return exec.Command("ip", "link", "set", "lo", "up").Run() },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

// process is a life that runs.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	said chan string
	in   io.Closer
}

func start(t *testing.T, dir string) *process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), lifeEnv+"="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, said: make(chan string, 1000), in: in}
	go func() {
		defer close(p.said)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.said <- s.Text()
		}
	}()
	return p
}

// hear returns what the life says next that begins with the word.
func (p *process) hear(word string) string {
	p.t.Helper()
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for {
		select {
		case line, ok := <-p.said:
			if !ok {
				p.t.Fatalf("a life ended before it said %q: %v", word, p.cmd.Wait())
			}
			if strings.HasPrefix(line, "wrong") {
				p.t.Error(line)
			}
			if strings.HasPrefix(line, word) {
				return line
			}
		case <-limit.C:
			p.cmd.Process.Signal(syscall.SIGQUIT)
			p.t.Fatalf("a life never said %q", word)
		}
	}
}

// kill ends the life with no chance to say goodbye, and counts the
// instances that it saw the end of.
func (p *process) kill() (gone int) {
	p.cmd.Process.Kill()
	for line := range p.said {
		if strings.HasPrefix(line, "wrong") {
			p.t.Error(line)
		}
		if strings.HasPrefix(line, "gone") {
			gone++
		}
	}
	p.cmd.Wait()
	return gone
}

// Lives that are killed at random moments go on where the ones before them
// ended: instances are made, acted upon and removed, no result is lost, what
// runs is left alone, and nothing is left in the end.
func TestKilled(t *testing.T) {
	if !onMachine(t) {
		return
	}
	dir := "/run/life"
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "rootfs"), []byte(runtimetest.Rootfs(t)), 0o600)); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	gone, kills := 0, 0
	for ; kills < 8 || gone < 2; kills++ {
		p := start(t, dir)
		p.hear("up")
		tick := time.NewTimer(time.Duration(random.IntN(700)) * time.Millisecond)
		<-tick.C
		gone += p.kill()
		if t.Failed() || kills > 60 {
			break
		}
	}
	t.Logf("%d kills, %d instances came and went", kills, gone)

	// What runs is left alone.
	p := start(t, dir)
	before := p.hear("runs")
	p.kill()
	p = start(t, dir)
	if after := p.hear("runs"); !t.Failed() && strings.Fields(before)[1] == strings.Fields(after)[1] && before != after {
		t.Errorf("before a kill %q, after it %q", before, after)
	}
	p.in.Close() // end when the present instances are gone
	p.hear("over")
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the last life: %v", err)
	}
	for _, at := range []string{"d/volumes", "d/logs", "d/actions", "r/instances", "r/netns", "d/containerd"} {
		if left, err := filepath.Glob(filepath.Join(dir, at, "*")); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
	if out, err := exec.Command("ip", "-o", "link").CombinedOutput(); err != nil || strings.Contains(string(out), "vx") {
		t.Errorf("left: %s, %v", out, err)
	}
	if groups, err := filepath.Glob("/sys/fs/cgroup/*/volvox-" + computer); err != nil || len(groups) > 0 {
		t.Errorf("left: %v, %v", groups, err)
	}
}

// say tells the test something.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// asked is closed when the test wants the life to end.
func asked() <-chan struct{} {
	c := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(c)
	}()
	return c
}

func life(dir string) int {
	if err := live(context.Background(), dir, asked()); err != nil {
		say("wrong: %v", err)
		return 1
	}
	say("over")
	return 0
}
