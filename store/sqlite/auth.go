package sqlite

import (
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
)

// authorize says what the statements of a closure may do: read and write
// rows. The transaction, the schema (outside of migrations) and the tables
// that the store keeps are not theirs.
func (w *writer) authorize(a sqlite.Action) sqlite.AuthResult {
	if w.conn.trusted {
		return sqlite.AuthResultOK
	}
	switch a.Type() {
	case sqlite.OpSelect, sqlite.OpRead, sqlite.OpFunction, sqlite.OpRecursive:
		return sqlite.AuthResultOK
	case sqlite.OpInsert, sqlite.OpUpdate, sqlite.OpDelete:
		if !slices.Contains(w.conn.writing, a.Table()) {
			w.conn.writing = append(w.conn.writing, a.Table())
		}
		migrating := w.running != nil && w.running.meta.Migration
		kept := a.Table() == "transactions" || strings.HasSuffix(a.Table(), "_history")
		kept = kept || a.Type() == sqlite.OpUpdate && a.Column() == "rev" // a change of rev itself would have no history
		if a.Accessor() == "" && kept && !migrating {
			return sqlite.AuthResultDeny
		}
		return sqlite.AuthResultOK
	case sqlite.OpTransaction, sqlite.OpSavepoint, sqlite.OpPragma, sqlite.OpAttach, sqlite.OpDetach:
		return sqlite.AuthResultDeny
	}
	if w.running != nil && w.running.meta.Migration {
		return sqlite.AuthResultOK
	}
	return sqlite.AuthResultDeny
}
