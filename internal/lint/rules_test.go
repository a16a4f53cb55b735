package lint

import (
	"strings"
	"testing"
)

// snippets has, for each rule, code that it must flag and code that it must not.
var snippets = map[string]struct{ bad, good map[string]string }{
	"levels": {
		bad: map[string]string{
			"futex/x.go":         "package futex\nimport _ \"interlock/mutex\"",
			"internal/spin/x.go": "package spin\nimport _ \"interlock/futex\"",
			"mutex/x.go":         "package mutex\nimport _ \"interlock/semaphore\"",
			"shm/x.go":           "package shm\nimport _ \"interlock/mutex\"",
			"seqlock/x.go":       "package seqlock\nimport _ \"interlock/shm\"",
			"condvar/x.go":       "package condvar\nimport _ \"interlock/internal/proctest\"",
			"nowhere/x.go":       "package nowhere",
		},
		good: map[string]string{
			"futex/x_test.go":             "package futex\nimport _ \"interlock/mutex\"",
			"seqlock/x.go":                "package seqlock\nimport _ \"interlock/mutex\"",
			"internal/park/x.go":          "package park\nimport _ \"interlock/futex\"",
			"stress/internal/verify/x.go": "package verify\nimport _ \"interlock/condvar\"",
		},
	},
	"dependencies": {
		bad: map[string]string{
			"mutex/x.go": "package mutex\nimport _ \"github.com/a/b\"",
			"shm/x.go":   "package shm\nimport _ \"golang.org/x/sync/errgroup\"",
		},
		good: map[string]string{
			"shm/x.go":      "package shm\nimport _ \"golang.org/x/sys/unix\"",
			"shm/x_test.go": "package shm\nimport _ \"github.com/a/b\"",
		},
	},
	"cgo": {
		bad:  map[string]string{"mutex/x_test.go": "package mutex\nimport \"C\""},
		good: map[string]string{"mutex/x.go": "package mutex\nimport \"context\""},
	},
	"futex calls": {
		bad: map[string]string{
			"mutex/x.go":  "package mutex\nvar _ = unix.SYS_FUTEX",
			"shm/x.go":    "package shm\nvar _ = unix.SYS_FUTEX_WAITV",
			"stress/x.go": "package main\nconst waitv = 449",
		},
		good: map[string]string{
			"futex/x.go":      "package futex\nvar _ = unix.SYS_FUTEX",
			"mutex/x_test.go": "package mutex\nvar _ = unix.SYS_FUTEX",
			"mutex/x.go":      "package mutex\nconst n = 448",
		},
	},
	"private futexes": {
		bad: map[string]string{
			"mutex/x.go":      "package mutex\nconst opPrivate = 128 // private: no",
			"futex/x.go":      "package futex\n// private: two lines above is too far\n\nvar _ = FUTEX_PRIVATE_FLAG // for speed",
			"mutex/x_test.go": "package mutex\nconst futexWakePrivate = 129",
		},
		good: map[string]string{
			"futex/x.go": "package futex\nconst opPrivate = 128\n// private: the cancel word is ours alone\nvar f = 1 | opPrivate\n\n\nvar g = 2 | opPrivate // private: this too",
			"shm/x.go":   "package shm\nvar _ = []int{unix.MAP_PRIVATE, unix.IPC_PRIVATE}\nconst Private = 0",
		},
	},
	"unsafe": {
		bad: map[string]string{
			"mutex/x.go":      "package mutex\nimport \"unsafe\"",
			"mutex/x_test.go": "package mutex\nimport \"unsafe\"",
			"mutex/unsafe.go": "package mutex\nimport \"unsafe\"",
		},
		good: map[string]string{
			"mutex/x_unsafe.go":      "package mutex\nimport \"unsafe\"",
			"mutex/x_unsafe_test.go": "package mutex\nimport \"unsafe\"",
		},
	},
	"raw atomics": {
		bad: map[string]string{
			"mutex/x.go":      "package mutex\nimport \"sync/atomic\"\nvar _ = atomic.LoadUint32(p)",
			"mutex/x_test.go": "package mutex\nimport a \"sync/atomic\"\nvar _ = a.CompareAndSwapInt64(p, 1, 2)",
		},
		good: map[string]string{
			"mutex/x.go":        "package mutex\nimport \"sync/atomic\"\nvar w atomic.Uint32\nvar _ = w.Load()",
			"mutex/x_unsafe.go": "package mutex\nimport \"sync/atomic\"\nvar _ = atomic.LoadUint32(p)",
		},
	},
	"function length": {
		bad:  map[string]string{"mutex/x.go": "package mutex\nfunc f() {" + strings.Repeat("\n", longestFunction) + "}"},
		good: map[string]string{"mutex/x.go": "package mutex\nfunc f() {" + strings.Repeat("\n", longestFunction-1) + "}"},
	},
	"file length": {
		bad:  map[string]string{"mutex/x.go": "package mutex" + strings.Repeat("\n", longestFile+1)},
		good: map[string]string{"mutex/x.go": "package mutex" + strings.Repeat("\n", longestFile)},
	},
	"sleep": {
		bad: map[string]string{"mutex/x.go": "package mutex\nimport \"time\"\nfunc f() { time.Sleep(1) }"},
		good: map[string]string{
			"mutex/x.go":      "package mutex\nimport \"time\"\nfunc f() { time.Sleep(1) } // no event tells",
			"mutex/x_test.go": "package mutex\nimport \"time\"\nfunc f() { time.Sleep(1) }",
			"stress/x.go":     "package main\nimport \"time\"\nfunc f() { time.Sleep(1) }",
		},
	},
}

func TestEveryRuleFlagsWhatItShould(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for path, text := range snippets[r.name].bad {
				if found := r.check(mustParse(t, path, text)); len(found) != 1 {
					t.Errorf("%s:\n%.200s\n%d findings, want 1: %v", path, text, len(found), found)
				}
			}
			for path, text := range snippets[r.name].good {
				if found := r.check(mustParse(t, path, text)); len(found) != 0 {
					t.Errorf("%s:\n%.200s\nflagged: %v", path, text, found)
				}
			}
			if len(snippets[r.name].bad) == 0 || len(snippets[r.name].good) == 0 {
				t.Error("the rule has no snippets")
			}
		})
	}
}

func mustParse(t *testing.T, path, text string) *source {
	t.Helper()
	s, err := parse(path, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAssemblyIsFlagged(t *testing.T) {
	found := checkAssembly([]string{"mutex/x.s", "internal/spin/x.s", "internal/fence/x.s", "docs/x.md"})
	if len(found) != 1 || found[0].path != "mutex/x.s" {
		t.Error(found)
	}
}

func TestUndefinedLabelsAreFlagged(t *testing.T) {
	code := mustParse(t, "mutex/x.go", `package mutex

// Edges
//  E-M1  free -> held
//  INV-M1	one owner

// E-M1: defined; E-M2: not, although it starts the line.
// INV-M1 and INV-M2, P-K1 and P-K2, T18 and T19.
var _ = "E-M9 in a string is no citation"

func f() { mark.At("E-M3 released not woken") }
`)
	docs := map[string]string{
		pitfalls:       "- **P-K1** is here; T19 only mentioned",
		scenarios:      "T18 is here; P-K2 only mentioned",
		"README.md":    "INV-M2 only mentioned",
		"docs/mute.md": "nothing",
	}
	var got []string
	for _, f := range checkLabels([]*source{code}, docs) {
		got = append(got, strings.Fields(f.what)[0])
	}
	if want := "E-M2 INV-M2 P-K2 T19 E-M3 P-K2"; strings.Join(got, " ") != want {
		t.Errorf("undefined: %v, want %v", got, want)
	}
	delete(docs, pitfalls)
	if n := len(checkLabels([]*source{code}, docs)); n != 4 {
		t.Errorf("without %s %d findings: its labels cannot be judged", pitfalls, n)
	}
}

func TestMarksAreUnique(t *testing.T) {
	a := mustParse(t, "mutex/a.go", "package mutex\nfunc f() { mark.At(`x`); mark.At(`y:z`) }")
	b := mustParse(t, "mutex/b.go", "package mutex\nfunc g() { mark.At(`x`); mark.At(`w`) }")
	test := mustParse(t, "mutex/b_test.go", "package mutex\nfunc h() { mark.At(`x`) }")
	if found := checkMarks([]*source{a, b, test}); len(found) != 2 {
		t.Error(found)
	}
}

func TestTextsAreChecked(t *testing.T) {
	for text, want := range map[string]int{
		"a TO" + "DO is left":            1,
		"FIX" + "ME: X" + "XX":           1, // one per line is enough
		"see ../sha" + "red/design":      1,
		"in /wor" + "k/main":             1,
		"of /hom" + "e/anna/go":          1,
		"mktemp /tmp/x.XXXXXX":           0,
		"the framework/thing, net/work/": 0,
		"a shared word, and so on":       0,
	} {
		if found := checkText(map[string]string{"a.md": text}); len(found) != want {
			t.Errorf("%q: %v", text, found)
		}
	}
}
