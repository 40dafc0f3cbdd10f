// Command idle measures what a computer costs when nobody uses it: how soon
// it is ready, the memory of the volvox process, and CPU time with no
// database and with one of two members, whose probes and idle servers count.
//
// Its last lines are targets, as the design's section 10 gives them their form.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/volvox-os/volvox"
)

func main() {
	window := flag.Duration("window", 20*time.Second, "how long CPU time is measured")
	rounds := flag.Int("rounds", 5, "how often booting is measured; the median counts")
	flag.Parse()
	if err := run(*window, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// computer is a `volvox up` on a directory of its own.
type computer struct {
	binary, data string
	up           *exec.Cmd
	out          bytes.Buffer
}

func run(window time.Duration, rounds int) (err error) {
	binary, err := filepath.Abs("bin/volvox")
	if err != nil {
		return err
	}
	data, err := os.MkdirTemp("", "volvox-bench-idle-")
	if err != nil {
		return err
	}
	c := &computer{binary: binary, data: data}
	defer func() { err = errors.Join(err, c.purge()) }()

	var boots []time.Duration
	for i := range rounds {
		took, err := c.boot()
		if err != nil {
			return err
		}
		boots = append(boots, took)
		fmt.Printf("boot %d: ready after %d ms\n", i+1, took.Milliseconds())
		if i < rounds-1 {
			if err := c.run("down"); err != nil {
				return err
			}
			c.up.Wait()
		}
	}
	slices.Sort(boots)

	empty, err := c.cpu(window, c.own)
	if err != nil {
		return err
	}
	resident, err := residentMB(c.up.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Printf("no database: %.1f MB resident, %.2f %% of a core\n", resident, empty)

	if err := c.run("db", "create", "shop", "--engine", "postgresql", "--replicas", "2"); err != nil {
		return err
	}
	own, err := c.cpu(window, c.own)
	if err != nil {
		return err
	}
	all, err := c.cpu(window, c.all)
	if err != nil {
		return err
	}
	fmt.Printf("with shop: the volvox process %.2f %% of a core; with containerd, probes and both idle servers %.2f %%\n", own, all)

	target("idle_ready", boots[len(boots)/2].Seconds()*1000, "ms", 1000)
	target("idle_resident", resident, "MB", 100)
	target("idle_cpu", empty, "%", 1)
	target("idle_cpu_with_shop", all, "%", 3)
	return nil
}

func target(name string, value float64, unit string, bound float64) {
	verdict := "met"
	if value >= bound {
		verdict = "missed"
	}
	fmt.Printf("target %s %.2f %s < %g %s\n", name, value, unit, bound, verdict)
}

// boot starts the computer and returns how long it took until it was ready.
func (c *computer) boot() (time.Duration, error) {
	c.up = exec.Command(c.binary, "up", "--data", c.data)
	c.up.Stdout, c.up.Stderr = &c.out, &c.out
	c.up.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	began := time.Now()
	if err := c.up.Start(); err != nil {
		return 0, err
	}
	for time.Since(began) < time.Minute {
		if c.run("status") == nil {
			return time.Since(began), nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, fmt.Errorf("not ready after a minute:\n%s", c.out.String())
}

func (c *computer) run(args ...string) error {
	cmd := exec.Command(c.binary, append(args, "--data", c.data)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("volvox %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (c *computer) purge() error {
	err := c.run("down", "--purge", "--yes")
	if c.up != nil {
		c.up.Wait()
	}
	return errors.Join(err, os.RemoveAll(c.data))
}

// own is the volvox process, all is everything that belongs to the computer:
// its containerd, the shims and what runs in its control groups.
func (c *computer) own() ([]int, error) { return []int{c.up.Process.Pid}, nil }

func (c *computer) all() ([]int, error) {
	pids, _ := c.own()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	layout, err := volvox.LayoutOf(c.data)
	if err != nil {
		return nil, err
	}
	id := "volvox-" + layout.ID
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		argv, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "cmdline"))
		groups, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "cgroup"))
		if pid != c.up.Process.Pid && (bytes.Contains(argv, []byte(c.data)) || bytes.Contains(argv, []byte("containerd-shim")) && bytes.Contains(argv, []byte(id)) || bytes.Contains(groups, []byte("/"+id))) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// cpu returns the per cent of one core that processes use over a window.
// Those that end within it count with what they had used when it began.
func (c *computer) cpu(window time.Duration, who func() ([]int, error)) (float64, error) {
	total := func() (float64, error) {
		pids, err := who()
		if err != nil {
			return 0, err
		}
		ticks := 0.0
		for _, pid := range pids {
			ticks += ticksOf(pid)
		}
		return ticks, nil
	}
	time.Sleep(3 * time.Second) // what came before has settled
	from, err := total()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	time.Sleep(window)
	to, err := total()
	if err != nil {
		return 0, err
	}
	const ticksPerSecond = 100
	return (to - from) / ticksPerSecond / time.Since(began).Seconds() * 100, nil
}

// ticksOf is the CPU time of a process and its ended children, in hundredths
// of a second; 0 when it is gone.
func ticksOf(pid int) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	f := strings.Fields(string(rest))
	ticks := 0.0
	for _, i := range []int{11, 12, 13, 14} {
		n, _ := strconv.ParseFloat(f[i], 64)
		ticks += n
	}
	return ticks
}

func residentMB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return n / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}
