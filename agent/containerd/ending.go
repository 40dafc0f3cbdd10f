package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// Labels of containerd's record.
const (
	callerLabel = "volvox.label/" // before each label of the caller
	endingLabel = "volvox.ending" // an ending, as JSON
	begunLabel  = "volvox.begun"  // there since just before the program was asked to begin
)

// ending is how a container's program ended, kept in its record. While the
// shim and the control group are there they say the same; the record is for
// when they are not: the shim was killed, or the machine restarted.
//
// What nobody can know: a program that ended, and whose shim was then killed,
// both while no Runtime was open. Such a container is listed as Broken.
type ending struct {
	Code int       `json:"code"`
	At   time.Time `json:"at"`
	OOM  bool      `json:"oom"`
}

func readEnding(labels map[string]string) (ending, bool) {
	var e ending
	text, ok := labels[endingLabel]
	if !ok || json.Unmarshal([]byte(text), &e) != nil {
		return ending{}, false
	}
	return e, true
}

// hasBegun says whether the program may have begun. When a client dies while
// it makes a container, containerd kills what it has made for it, which looks
// like a program that was killed; without the label it is known to be none.
func hasBegun(labels map[string]string) bool { return labels[begunLabel] != "" }

// label sets a label of the container's record.
func label(ctx context.Context, l *link, id, name, value string) error {
	_, err := l.containers.Update(ctx, &containersapi.UpdateContainerRequest{
		Container:  &containersapi.Container{ID: id, Labels: map[string]string{name: value}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels." + name}},
	})
	return err
}

// keepEnding records how the container ended, unless it is known, or it has no
// record, or never began.
func (r *Runtime) keepEnding(ctx context.Context, l *link, id string, e ending) error {
	got, err := l.containers.Get(ctx, &containersapi.GetContainerRequest{ID: id})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, known := readEnding(got.Container.Labels); known || !hasBegun(got.Container.Labels) {
		return nil
	}
	e.OOM = e.OOM || r.cgroups.limitKilled(id)
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	err = label(ctx, l, id, endingLabel, string(text))
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// keepEndings records the end of every container that has ended.
func (r *Runtime) keepEndings(ctx context.Context, l *link) error {
	got, err := l.tasks.List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range got.Tasks {
		if t.Status == task.Status_STOPPED {
			errs = append(errs, r.keepEnding(ctx, l, t.ID, ending{Code: int(t.ExitStatus), At: t.ExitedAt.AsTime()}))
		}
	}
	return errors.Join(errs...)
}

// settle lets go of the shims of containers that have ended.
func (r *Runtime) settle(ctx context.Context) error {
	err := r.call(ctx, func(ctx context.Context, l *link) error {
		if err := r.keepEndings(ctx, l); err != nil {
			return err
		}
		got, err := l.tasks.List(ctx, &tasksapi.ListTasksRequest{})
		if err != nil {
			return err
		}
		var errs []error
		for _, t := range got.Tasks {
			if t.Status != task.Status_STOPPED {
				continue
			}
			if _, err := r.removeTask(ctx, l, t.ID); err != nil {
				errs = append(errs, err)
				continue
			}
			errs = append(errs, r.cgroups.remove(t.ID))
		}
		return errors.Join(errs...)
	})
	return explain(err, "let go of ended containers")
}
