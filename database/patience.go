package database

import (
	"context"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

// patience is how often a transaction is tried that a busy machine was too slow
// for.
const patience = 5

// transaction is workflow.Transaction, repeated as the next step when the
// kernel ended it for being slow.
func transaction(ctx workflow.Context, name string, f func(tx *store.Tx) error) error {
	err := workflow.Transaction(ctx, name, f)
	for n := 1; n < patience && volvox.CodeOf(err) == volvox.SlowClosure; n++ {
		err = workflow.Transaction(ctx, name, f)
	}
	return err
}

// update is a transaction of what a person asked for, under the name.
func (s *Service) update(ctx context.Context, name string, f func(tx *store.Tx) error) error {
	ctx = store.WithName(ctx, name)
	err := s.db.Update(ctx, f)
	for n := 1; n < patience && volvox.CodeOf(err) == volvox.SlowClosure; n++ {
		err = s.db.Update(ctx, f)
	}
	return err
}

// again repeats a step that failed because the kernel was slow or did not
// answer; what an agent reports is final.
func again() workflow.StepOption {
	return workflow.Retry(5, 100*time.Millisecond, func(err error) bool {
		switch volvox.CodeOf(err) {
		case volvox.Unavailable, volvox.SlowView, volvox.SlowClosure:
			return true
		default:
			return false
		}
	})
}
