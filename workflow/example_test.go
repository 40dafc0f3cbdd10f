package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/workflow"
)

// withDatabase runs f with a database of its own.
func withDatabase(f func(ctx context.Context, db *store.DB)) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "kernel.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx, workflow.Schema()); err != nil {
		log.Fatal(err)
	}
	f(ctx, db)
}

func Example() {
	greet := workflow.Define("greet", func(ctx workflow.Context, name string) (string, error) {
		word, err := workflow.Step(ctx, "choose a word", func(context.Context) (string, error) {
			return "Hello", nil // a random one, say: it is chosen once
		})
		if err != nil {
			return "", err
		}
		return word + ", " + name + "!", nil
	})
	withDatabase(func(ctx context.Context, db *store.DB) {
		engine, err := workflow.New(db, workflow.Options{Executor: "example"}, greet)
		if err != nil {
			log.Fatal(err)
		}
		if err := engine.Start(ctx); err != nil {
			log.Fatal(err)
		}
		defer engine.Stop(ctx)
		handle, err := greet.Start(ctx, engine, "world", workflow.ID("greeting-1"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(handle.Result(ctx))
	})
	// Output: Hello, world! <nil>
}

// A workflow that fails or is cancelled undoes what it did in steps under
// WithoutCancel.
func ExampleContext_WithoutCancel() {
	trip := workflow.Define("trip", func(ctx workflow.Context, to string) (string, error) {
		seat, err := workflow.Step(ctx, "book a seat", func(context.Context) (int, error) { return 17, nil })
		if err != nil {
			return "", err
		}
		_, err = workflow.Step(ctx, "book a room", func(context.Context) (int, error) {
			return 0, volvox.Errorf(volvox.NotFound, "there is no room in %s", to)
		})
		if err != nil {
			_, undoErr := workflow.Step(ctx.WithoutCancel(), "give back the seat", func(context.Context) (int, error) {
				fmt.Println("seat", seat, "is free again")
				return seat, nil
			})
			return "", errors.Join(err, undoErr)
		}
		return "have a good time", nil
	})
	withDatabase(func(ctx context.Context, db *store.DB) {
		engine, err := workflow.New(db, workflow.Options{Executor: "example"}, trip)
		if err != nil {
			log.Fatal(err)
		}
		if err := engine.Start(ctx); err != nil {
			log.Fatal(err)
		}
		defer engine.Stop(ctx)
		handle, err := trip.Start(ctx, engine, "Ulm")
		if err != nil {
			log.Fatal(err)
		}
		_, err = handle.Result(ctx)
		fmt.Println(volvox.CodeOf(err), err)
	})
	// Output:
	// seat 17 is free again
	// E_NOT_FOUND there is no room in Ulm
}
