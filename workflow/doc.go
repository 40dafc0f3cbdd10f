// Package workflow runs functions that survive the death of the process that
// runs them.
//
// A workflow is a Go function with a name. What it does to the world it does
// in steps, and each step's result is recorded in the database before the next
// one begins:
//
//	var Checkout = workflow.Define("checkout", func(ctx workflow.Context, o Order) (Receipt, error) {
//		paid, err := workflow.Step(ctx, "charge", func(c context.Context) (Payment, error) {
//			return bank.Charge(c, o.Total, ctx.ID()) // at least once, recorded once
//		}, workflow.Retry(5, time.Second, nil))
//		if err != nil {
//			return Receipt{}, err
//		}
//		err = workflow.Transaction(ctx, "reserve", func(tx *store.Tx) error {
//			_, err := tx.Exec(`UPDATE stock SET n = n - 1 WHERE item = $1`, o.Item) // exactly once
//			return err
//		})
//		if err != nil { // or cancelled: undo what was done
//			undo := ctx.WithoutCancel()
//			workflow.Step(undo, "refund", func(ctx context.Context) (Payment, error) { return bank.Refund(ctx, paid) })
//			return Receipt{}, err
//		}
//		err = workflow.Sleep(ctx, 24*time.Hour) // may outlive many processes
//		return Receipt{paid.Number}, err
//	})
//
//	engine, err := workflow.New(db, workflow.Options{Executor: "one"}, Checkout)
//	err = engine.Start(ctx)                                                    // goes on with what was left
//	h, err := Checkout.Start(ctx, engine, order, workflow.ID("order-42"))      // durable when it returns
//	receipt, err := h.Result(ctx)
//
// # What is promised
//
// A workflow that was started ends, however often its process dies: the next
// engine that starts on the database takes it over, calls the function again
// from its beginning, and gives it the recorded results of the steps that are
// done, without running them. Behind the last record the function goes on.
//
// The record of a step is one write, made only while the workflow is still
// this engine's and not cancelled. An engine that was taken for dead and lives
// has its records refused by the fence, a number that grows with each
// takeover.
//
// # What is asked of the function
//
// Between steps it must take the same path when it is called again with the
// same input and the same results of steps: no clock, no randomness, no order
// of a map, nothing read from outside; all that belongs into steps. Steps are
// taken on the goroutine of the function, one after the other. A function that
// takes another path than the recorded one is stopped with E_DETERMINISM,
// which names the step, the record and the source line; the workflow waits,
// Running, for an engine with the code that started it, or for [Engine.Cancel].
//
// When a workflow may not go on here (the engine stops, another one took it
// over), or sleeps for more than a second, the step that it is in does not
// return: its goroutine is unwound as by runtime.Goexit, and the function is
// called again later. Deferred calls run, so they release what is in memory;
// what is to be undone for good is undone in steps, not in deferred calls.
//
// # Cancelling and undoing
//
// [Engine.Cancel] makes steps fail with E_CANCELLED, beginning with the one
// that runs; where the workflow noticed it is recorded. The function sees an
// error, as if the step had failed, and undoes what it did under
// [Context.WithoutCancel]. A step that gave E_CANCELLED may have run all the
// same, so undoing must bear with things that are there or not. The workflow
// is Cancelled when the function has returned.
//
// # The tables
//
// Workflows and steps are rows of the tables workflows and steps, for
// everybody to query. Inputs, outputs and errors are in them as JSON: pass
// secrets by name.
package workflow
