package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/volvox-os/volvox/instance"
)

// A run record is the result of an action on disk. It is there from before
// the result is told until the control has it, so that an agent that dies in
// between neither loses a result nor runs an action that has ended.

// short is a name for an action that fits into file names.
func short(action string) string {
	sum := sha256.Sum256([]byte(action))
	return hex.EncodeToString(sum[:16])
}

func (d directories) record(action string) string {
	return filepath.Join(d.actions(), short(action)+".json")
}

func (d directories) writeRecord(a instance.Action) error {
	b, err := json.Marshal(instance.Action{ID: a.ID, Project: a.Project, Instance: a.Instance, InstanceID: a.InstanceID,
		Machine: a.Machine, Name: a.Name, Status: instance.Done, Exit: a.Exit, Output: a.Output, Log: a.Log, EndedAt: a.EndedAt})
	if err != nil {
		return fmt.Errorf("record the result of action %s: %w", a.ID, err)
	}
	return writeFile(d.record(a.ID), b, 0o600, 0, true)
}

// readRecord returns the result of an action that has ended; false means that
// none is recorded.
func (d directories) readRecord(action string) (a instance.Action, ok bool, err error) {
	b, err := os.ReadFile(d.record(action))
	if errors.Is(err, fs.ErrNotExist) {
		return a, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return a, false, fmt.Errorf("read the result of action %s: %w", action, err)
	}
	return a, true, nil
}

func (d directories) removeRecords(as []instance.Action) error {
	var err error
	for _, a := range as {
		err = errors.Join(err, removeAll(d.record(a.ID)))
	}
	return err
}

// sweepRecords removes the records of results that the control has already,
// and what a dying agent left half written.
func (d directories) sweepRecords(wishes []instance.Wish) error {
	pending := map[string]bool{}
	for _, w := range wishes {
		for _, a := range w.Actions {
			pending[short(a.ID)] = true
		}
	}
	entries, err := os.ReadDir(d.actions())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); !ok || !pending[id] {
			err = errors.Join(err, removeAll(filepath.Join(d.actions(), e.Name())))
		}
	}
	return err
}
