package sqlitestore

import (
	"regexp"
	"strings"

	"zombiezen.com/go/sqlite"
)

// authorize is asked by SQLite about each access of a statement that is being
// compiled, and notes what the statement may do. Cloudflare: "SQL API",
// supported features. Functions are not restricted: code in this process could
// do what they do anyway.
func (h *handle) authorize(a sqlite.Action) sqlite.AuthResult {
	if h.trusted {
		return sqlite.AuthResultOK
	}
	fx := h.effects
	if fx == nil {
		fx = new(effects) // compiled again, because the schema has changed
	}
	switch a.Database() {
	case "", "main":
	case "temp":
		// SQLite itself reads its temporary schema; nothing may be made there.
		if t := a.Type(); (t == sqlite.OpRead || t == sqlite.OpUpdate) && !isOurs(a.Table()) {
			return sqlite.AuthResultOK
		}
		return sqlite.AuthResultDeny
	default:
		return sqlite.AuthResultDeny
	}
	fx.note(a)
	ok := false
	switch a.Type() {
	case sqlite.OpSelect, sqlite.OpRecursive, sqlite.OpAnalyze, sqlite.OpFunction:
		ok = true
	case sqlite.OpRead, sqlite.OpUpdate, sqlite.OpInsert, sqlite.OpDelete, sqlite.OpCreateTable, sqlite.OpDropTable, sqlite.OpAlterTable:
		ok = !isOurs(a.Table())
	case sqlite.OpCreateView, sqlite.OpDropView:
		ok = !isOurs(a.View())
	case sqlite.OpCreateIndex, sqlite.OpDropIndex, sqlite.OpReindex:
		ok = !isOurs(a.Index()) && !isOurs(a.Table())
	case sqlite.OpCreateTrigger, sqlite.OpDropTrigger:
		ok = !isOurs(a.Trigger()) && !isOurs(a.Table())
	case sqlite.OpCreateVTable, sqlite.OpDropVTable:
		switch strings.ToLower(a.Module()) {
		case "fts5", "fts5vocab", "rtree", "rtree_i32":
			ok = !isOurs(a.Table())
		}
	case sqlite.OpTransaction, sqlite.OpSavepoint:
		fx.refusal = errTransaction
	case sqlite.OpPragma:
		ok = h.allowsPragma(strings.ToLower(a.Pragma()), a.PragmaArg())
	}
	if ok {
		return sqlite.AuthResultOK
	}
	return sqlite.AuthResultDeny
}

// note notes what an access means for the statement.
func (fx *effects) note(a sqlite.Action) {
	switch a.Type() {
	case sqlite.OpSelect, sqlite.OpRecursive, sqlite.OpFunction, sqlite.OpRead, sqlite.OpTransaction, sqlite.OpSavepoint:
	case sqlite.OpPragma:
		fx.writes = fx.writes || strings.EqualFold(a.Pragma(), "optimize")
	case sqlite.OpInsert, sqlite.OpUpdate, sqlite.OpDelete:
		fx.writes, fx.changes = true, true
	default:
		fx.writes = true
	}
}

// isOurs says whether a name belongs to the storage itself.
func isOurs(name string) bool {
	return len(name) >= 4 && strings.EqualFold(name[:4], "_cf_")
}

var (
	aboutTable = map[string]bool{ // pragmas about a table; whether it may be left out
		"foreign_key_list": false, "index_info": false, "index_list": false, "index_xinfo": false, "table_info": false,
		"table_xinfo": false, "foreign_key_check": true, "quick_check": true, "table_list": true,
	}
	ofConnection = map[string]bool{
		"case_sensitive_like": true, "defer_foreign_keys": true, "foreign_keys": true, "ignore_check_constraints": true,
		"legacy_alter_table": true, "recursive_triggers": true, "reverse_unordered_selects": true,
	}
	boolean = regexp.MustCompile(`(?i)^['"]?(true|false|yes|no|on|off|1|0)['"]?$`)
	number  = regexp.MustCompile(`^[+-]?\d+$`)
)

func (h *handle) allowsPragma(name, arg string) bool {
	if optional, ok := aboutTable[name]; ok {
		return arg == "" && optional || arg != "" && !isOurs(arg)
	}
	switch {
	case ofConnection[name]:
		if arg == "" {
			return true
		}
		h.altered = true
		return boolean.MatchString(arg)
	case name == "data_version", name == "page_size":
		return arg == ""
	case name == "optimize":
		return arg == "" || number.MatchString(arg)
	}
	return false
}
