package compat

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTableAgreesWithItself(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range table {
		for _, name := range []string{r.on, r.off} {
			if name != "" && seen[name] {
				t.Errorf("%s stands twice", name)
			}
			seen[name] = true
		}
		for _, date := range []string{r.since, r.bySince} {
			if message, _ := CheckDate(date, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)); date != "" && message != "" {
				t.Errorf("%s: %s", r.on, message)
			}
		}
		if (len(r.by) == 0) != (r.bySince == "") {
			t.Errorf("%s: by and bySince go together", r.on)
		}
		for _, f := range r.by {
			if by, on := find(string(f)); by == nil || !on {
				t.Errorf("%s is brought by %s, which is no flag", r.on, f)
			}
		}
		if r.here == honoured && r.off == "" && r.since != "" {
			t.Errorf("%s is honoured and on by date, but cannot be turned off", r.on)
		}
	}
}

// honouredDates is the list that Dormouse promises, with the date from which
// each behaviour is the default.
var honouredDates = map[Flag]string{
	FetchRequiresFullURL:    "2021-11-10",
	WebSocketCompression:    "2023-08-15",
	RPC:                     "2024-04-03",
	CtxExports:              "2025-11-17",
	RPCParamsDupStubs:       "2026-01-20",
	DeleteAllDeletesAlarm:   "2026-02-24",
	CloseReasonByteLimit:    "2026-03-03",
	StandardBinaryType:      "2026-03-17",
	AutoReplyToClose:        "2026-04-07",
	EnhancedErrors:          "2026-04-21",
	NodeJS:                  "2026-08-04",
	NodeJSv2:                "2026-08-04",
	ProcessEnv:              "2026-08-04", // brought by nodejs_compat
	IOTasksPreventEviction:  "2026-10-01",
	NavigationPrefersAssets: "2025-04-01",
	PedanticWPT:             "",
	UnsafeModule:            "",
	AsyncLocalStorage:       "",
	NodeTimers:              "2026-08-04", // brought by nodejs_compat
}

func TestHonouredOnBothSides(t *testing.T) {
	for _, r := range table {
		if _, listed := honouredDates[Flag(r.on)]; (r.here == honoured) != listed {
			t.Errorf("%s: honoured in the table is %v, in this list %v", r.on, r.here == honoured, listed)
		}
	}
	for f, date := range honouredDates {
		row, _ := find(string(f))
		if row == nil {
			t.Fatalf("%s is no flag", f)
		}
		if date != "" {
			day, _ := time.Parse(dateLayout, date)
			check(t, f, day.AddDate(0, 0, -1).Format(dateLayout), nil, false)
			check(t, f, date, nil, true)
			check(t, f, date, []string{row.off}, false)
		}
		check(t, f, "2021-01-01", []string{row.on}, true)
		if date == "" {
			check(t, f, Newest, nil, false)
		}
		if row.off != "" {
			check(t, f, Newest, []string{row.off}, false)
		}
	}
}

func check(t *testing.T, f Flag, date string, flags []string, want bool) {
	t.Helper()
	set, findings := Resolve(date, flags)
	if set.Has(f) != want || slices.Contains(set.Enabled(), f) != want {
		t.Errorf("%s at %s with %v: got %v, want %v", f, date, flags, set.Has(f), want)
	}
	if len(findings) != 0 {
		t.Errorf("%s at %s with %v: got findings %v", f, date, flags, findings)
	}
}

func TestImpliedFlags(t *testing.T) {
	for _, c := range []struct {
		f     Flag
		date  string
		flags string
		want  bool
	}{
		{NodeJSv2, "2024-09-22", "nodejs_compat", false},
		{NodeJSv2, "2024-09-23", "nodejs_compat", true},
		{NodeJSv2, "2024-09-23", "", false},
		{NodeJSv2, "2024-09-23", "nodejs_compat no_nodejs_compat_v2", false},
		{ProcessEnv, "2025-03-31", "nodejs_compat", false},
		{ProcessEnv, "2025-04-01", "nodejs_compat", true},
		{ProcessEnv, Newest, "no_nodejs_compat", false},
		// Two steps: the http modules bring the server's.
		{"enable_nodejs_http_server_modules", "2025-09-01", "nodejs_compat", true},
		{"enable_nodejs_http_server_modules", "2025-08-31", "nodejs_compat", false},
	} {
		set, findings := Resolve(c.date, strings.Fields(c.flags))
		if set.Has(c.f) != c.want || len(findings) != 0 {
			t.Errorf("%s at %s with %q: got %v and %v, want %v", c.f, c.date, c.flags, set.Has(c.f), findings, c.want)
		}
	}
}

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		flags   string
		fatal   bool
		message string
		hint    string
	}{
		{"nodejs_compta", true, `"nodejs_compta" is not a compatibility flag`, `Did you mean "nodejs_compat"?`},
		{"rpc rpc", true, `compatibility flag "rpc" stands in the list twice`, "Remove one of them."},
		{"rpc no_rpc", true, `compatibility flags "rpc" and "no_rpc" contradict each other`, "Keep one of them."},
		{"experimental", true, `compatibility flag "experimental" is not supported`, "Dormouse does not have what it turns on. Remove it if the Worker can do without."},
		// 128 MiB would not go into a frame of the guest protocol.
		{"increase_websocket_message_size", true, `compatibility flag "increase_websocket_message_size" is not supported`, "Dormouse does not have what it turns on. Remove it if the Worker can do without."},
		{"url_original", true, `compatibility flag "url_original" is not supported`, `Dormouse always behaves as with "url_standard". Remove the flag if the Worker can live with that.`},
		{"python_workflows", false, `compatibility flag "python_workflows" changes nothing here`, ""},
	} {
		_, findings := Resolve("2024-01-01", strings.Fields(c.flags))
		if len(findings) != 1 {
			t.Errorf("%s: got %d findings, want 1", c.flags, len(findings))
			continue
		}
		f := findings[0]
		if f.Fatal != c.fatal || f.Message != c.message || f.Hint != c.hint || f.Index != len(strings.Fields(c.flags))-1 {
			t.Errorf("%s: got %+v", c.flags, f)
		}
	}
	for _, silent := range []string{"url_standard", "no_upper_case_all_http_methods", "nodejs_compat"} {
		if _, findings := Resolve(Newest, []string{silent}); len(findings) != 0 {
			t.Errorf("%s: got %v, want nothing to say", silent, findings)
		}
	}
}

func TestDiffers(t *testing.T) {
	set, _ := Resolve("2021-01-01", nil)
	if d := set.Differs(); !slices.Contains(d, "url_original") {
		t.Errorf("an old date asks for the old URLs, got %v", d)
	}
	set, _ = Resolve(Newest, nil)
	if d := set.Differs(); slices.Contains(d, "url_original") || slices.Contains(d, "experimental") {
		t.Errorf("got %v", d)
	}
}

func TestCheckDate(t *testing.T) {
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, time.FixedZone("", -3*3600)) // the 23rd in UTC
	for date, want := range map[string]string{
		"2026-11-23": "",
		"2026-11-24": "compatibility date 2026-11-24 is in the future",
		"2026-13-01": `"2026-13-01" is not a compatibility date`,
		"2026-1-1":   `"2026-1-1" is not a compatibility date`,
		"2026-02-30": `"2026-02-30" is not a compatibility date`,
		"":           `"" is not a compatibility date`,
		"2024–01–01": `"2024–01–01" is not a compatibility date`,
	} {
		if got, _ := CheckDate(date, now); got != want {
			t.Errorf("CheckDate(%q): got %q, want %q", date, got, want)
		}
	}
}
