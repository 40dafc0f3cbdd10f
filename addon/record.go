package addon

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the tables addons, addon_versions, addon_topologies and
// addon_parameters.
func Schema() store.Schema {
	return store.Schema{Owner: "addon", Migrations: migrations}
}

// The rows of the tables; the tags are the columns.

type addonRow struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Actions     string `json:"actions"`
}

type versionRow struct {
	Addon     string `json:"addon"`
	Name      string `json:"name"`
	IsDefault bool   `json:"is_default"`
	Images    string `json:"images"`
}

type topologyRow struct {
	Addon       string `json:"addon"`
	Name        string `json:"name"`
	Description string `json:"description"`
	MinReplicas int    `json:"min_replicas"`
	MaxReplicas int    `json:"max_replicas"`
	Place       int    `json:"place"`
}

type parameterRow struct {
	Addon        string `json:"addon"`
	Component    string `json:"component"`
	Name         string `json:"name"`
	Doc          string `json:"doc"`
	Allowed      string `json:"allowed"`
	DefaultValue string `json:"default_value"`
	AtMost       string `json:"at_most"`
	Type         string `json:"type"`
	Unit         string `json:"unit"`
	Apply        string `json:"apply"`
	Schema       string `json:"schema"`
}

// Record makes the tables equal to the addons, which are all that there are.
// Called again with the same addons it changes nothing, so that the history
// of a row says when an addon changed.
func Record(ctx context.Context, db *store.DB, all []*Addon) error {
	addons, versions, topologies, parameters, err := rowsOf(all)
	if err != nil {
		return err
	}
	err = db.Update(ctx, func(tx *store.Tx) error {
		if err := equalize(tx, "addons", addons, "name, title, description, actions", 1, func(r addonRow) []any {
			return []any{r.Name, r.Title, r.Description, r.Actions}
		}); err != nil {
			return err
		}
		if err := equalize(tx, "addon_versions", versions, "addon, name, is_default, images", 2, func(r versionRow) []any {
			return []any{r.Addon, r.Name, r.IsDefault, r.Images}
		}); err != nil {
			return err
		}
		if err := equalize(tx, "addon_topologies", topologies, "addon, name, description, min_replicas, max_replicas, place", 2, func(r topologyRow) []any {
			return []any{r.Addon, r.Name, r.Description, r.MinReplicas, r.MaxReplicas, r.Place}
		}); err != nil {
			return err
		}
		return equalize(tx, "addon_parameters", parameters,
			"addon, component, name, doc, allowed, default_value, at_most, type, unit, apply, schema", 3, func(r parameterRow) []any {
				return []any{r.Addon, r.Component, r.Name, r.Doc, r.Allowed, r.DefaultValue, r.AtMost, r.Type, r.Unit, r.Apply, r.Schema}
			})
	})
	if err != nil {
		return fmt.Errorf("record the addons: %w", err)
	}
	return nil
}

func rowsOf(all []*Addon) (addons []addonRow, versions []versionRow, topologies []topologyRow, parameters []parameterRow, err error) {
	text := func(v any) string {
		b, e := json.Marshal(v)
		if e != nil && err == nil {
			err = fmt.Errorf("write as JSON: %w", e)
		}
		return string(b)
	}
	for _, a := range all {
		actions := map[string][]string{}
		for _, name := range slices.Sorted(maps.Keys(a.Components)) {
			c := a.Components[name]
			actions[name] = slices.Sorted(maps.Keys(c.Actions))
			for _, p := range c.Params {
				parameters = append(parameters, parameterRow{
					Addon: a.Name, Component: name, Name: p.Name, Doc: p.Doc, Allowed: p.Allowed, DefaultValue: p.Default,
					AtMost: p.AtMost, Type: p.Type, Unit: p.Unit, Apply: p.Apply, Schema: string(p.Schema),
				})
			}
		}
		addons = append(addons, addonRow{Name: a.Name, Title: a.Title, Description: a.Description, Actions: text(actions)})
		for _, v := range a.Versions {
			versions = append(versions, versionRow{Addon: a.Name, Name: v.Name, IsDefault: v.Default, Images: text(v.Images)})
		}
		for i, t := range a.Topologies {
			least, most := t.Replicas()
			topologies = append(topologies, topologyRow{
				Addon: a.Name, Name: t.Name, Description: t.Doc, MinReplicas: least, MaxReplicas: most, Place: i + 1,
			})
		}
	}
	return addons, versions, topologies, parameters, err
}

// equalize makes the rows of a table those that are wanted, and touches none
// that is as it should be. The first columns, as many as keys says, are the
// key.
func equalize[R comparable](tx *store.Tx, table string, want []R, columns string, keys int, values func(R) []any) error {
	have, err := store.All[R](tx, "SELECT "+columns+" FROM "+table)
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	key := func(r R) string { return fmt.Sprintf("%q", values(r)[:keys]) }
	old := map[string]R{}
	for _, r := range have {
		old[key(r)] = r
	}
	names := strings.Split(columns, ", ")
	where := assignments(names[:keys], 1, " AND ")
	for _, r := range want {
		before, there := old[key(r)]
		delete(old, key(r))
		v := values(r)
		switch {
		case !there:
			places := make([]string, len(names))
			for i := range places {
				places[i] = fmt.Sprintf("$%d", i+1)
			}
			_, err = tx.Exec("INSERT INTO "+table+" ("+columns+") VALUES ("+strings.Join(places, ", ")+")", v...)
		case before != r:
			_, err = tx.Exec("UPDATE "+table+" SET "+assignments(names[keys:], keys+1, ", ")+" WHERE "+where, v...)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", table, err)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(old)) {
		if _, err := tx.Exec("DELETE FROM "+table+" WHERE "+where, values(old[k])[:keys]...); err != nil {
			return fmt.Errorf("delete from %s: %w", table, err)
		}
	}
	return nil
}

// assignments is "a = $1, b = $2" from the first placeholder on.
func assignments(names []string, first int, between string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%s = $%d", n, first+i)
	}
	return strings.Join(parts, between)
}
