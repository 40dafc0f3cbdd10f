package system

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/addons"
	"github.com/volvox-os/volvox/database"
	"github.com/volvox-os/volvox/store"
)

// openAddons reads the addons that come with the program and those in the
// data directory, of which one wins over one of the same name that comes with
// the program. One that cannot be used is left out, and the part says so,
// unless databases are made of it: those would be without care.
func (s *System) openAddons(ctx context.Context) error {
	known, err := addon.LoadAll(addons.FS)
	if err != nil {
		return err
	}
	own, broken, err := ownAddons(s.layout)
	if err != nil {
		return err
	}
	replaced := func(name string) bool {
		return broken[name] != nil || slices.ContainsFunc(own, func(a *addon.Addon) bool { return a.Name == name })
	}
	known = append(slices.DeleteFunc(known, func(a *addon.Addon) bool { return replaced(a.Name) }), own...)
	clusters, err := database.New(database.Options{DB: s.kernel}).List(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range clusters {
		if why := broken[c.Engine]; why != nil {
			return volvox.Errorf(volvox.BadFile, "the database %s has an addon that cannot be used", c.Name).From(why).
				WithTry("mend it: %s", filepath.Join(ownDir(s.layout), c.Engine))
		}
	}
	s.addons, s.broken = known, broken
	if len(broken) > 0 {
		message := brokenWords(broken)
		s.parts.note("addons", message)
		s.log.WarnContext(ctx, "an addon cannot be used", "error", message)
	}
	return addon.Record(store.WithName(ctx, "boot"), s.kernel, known)
}

// ownDir is where people put addons of their own.
func ownDir(l volvox.Layout) string { return filepath.Join(l.Data, "addons") }

// ownAddons reads the addons in the data directory: those that can be used,
// and by name why the others cannot.
func ownAddons(l volvox.Layout) ([]*addon.Addon, map[string]error, error) {
	own, err := addon.LoadAll(os.DirFS(ownDir(l)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	broken := map[string]error{}
	all, joined := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
	case !joined:
		return nil, nil, err
	default:
		for _, e := range all.Unwrap() {
			broken[volvox.AsError(e).Ref.Name] = e
		}
	}
	return own, broken, nil
}

// brokenWords says what is wrong with addons in one line.
func brokenWords(broken map[string]error) string {
	var words []string
	for _, err := range broken {
		words = append(words, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	slices.Sort(words)
	return strings.Join(words, "; ")
}
