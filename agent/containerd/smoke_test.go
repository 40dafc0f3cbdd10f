package containerd_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/containerd"
	"github.com/volvox-os/volvox/agent/runtimetest"
)

func TestSmoke(t *testing.T) {
	root := runtimetest.Rootfs(t)
	run, _ := os.MkdirTemp("/run", "vxt")
	defer os.RemoveAll(run)
	r, err := containerd.Open(t.Context(), containerd.Options{Root: filepath.Join(t.TempDir(), "c"), Run: run, Computer: "abcdef", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	step := func(what string, begin time.Time) { t.Log(what, time.Since(begin)) }
	b := time.Now()
	if err := r.Create(t.Context(), agent.Container{ID: "a1", Rootfs: root, UID: 5001, Command: []string{"/bin/sh", "-c", "trap 'exit 3' TERM; id; while :; do sleep 1; done"}, LogPath: filepath.Join(t.TempDir(), "log")}); err != nil {
		t.Error(err)
	}
	step("create", b)
	b = time.Now()
	var out bytes.Buffer
	code, err := r.Exec(t.Context(), "a1", agent.Exec{ID: "e", Command: []string{"/bin/sh", "-c", "cat; cat /proc/self/status | grep -E 'Cap|Sec|NoNew'; exit 4"}, Stdin: bytes.NewBufferString("hello\n"), Stdout: &out, Stderr: &out})
	t.Log(code, err, out.String())
	step("exec", b)
	t.Log(r.List(t.Context()))
	t.Log(r.Metrics(t.Context(), "a1"))
	b = time.Now()
	t.Log(r.Stop(t.Context(), "a1", "", 5*time.Second))
	step("stop", b)
	t.Log(r.List(t.Context()))
	b = time.Now()
	if err := r.Purge(t.Context()); err != nil {
		t.Error(err)
	}
	step("purge", b)
}
