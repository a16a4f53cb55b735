package include

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"interlock/condvar"
	"interlock/internal/layout"
	"interlock/internal/robust"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
)

func abi(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is what docs/abi.md says under a heading.
func section(t *testing.T, title string) string {
	t.Helper()
	_, text, ok := strings.Cut(abi(t), "\n## "+title+"\n")
	if !ok {
		t.Fatalf("docs/abi.md has no section %s", title)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// A place is a row of a table of fields; a reserved one has the name "-".
type place struct {
	offset int
	bytes  string // a number, or so many of T
	name   string
}

var fieldRow = regexp.MustCompile(`(?m)^\| (\d+) \| (\d*T?) \| (\S+) \|`)

func places(t *testing.T, title string) []place {
	t.Helper()
	var all []place
	for _, m := range fieldRow.FindAllStringSubmatch(section(t, title), -1) {
		offset, _ := strconv.Atoi(m[1])
		all = append(all, place{offset, m[2], m[3]})
	}
	if len(all) == 0 {
		t.Fatalf("no table of fields for %s", title)
	}
	return all
}

// shared are the structs of the document with their types in Go and C; T is a quote.
var shared = []struct {
	title string
	typ   reflect.Type
	c     string
}{
	{"mutex.Mutex", reflect.TypeFor[mutex.Mutex](), "struct ilk_mutex"},
	{"semaphore.Semaphore", reflect.TypeFor[semaphore.Semaphore](), "sem_t"},
	{"condvar.Cond", reflect.TypeFor[condvar.Cond](), "struct ilk_cond"},
	{"seqlock.Seqlock", reflect.TypeFor[seqlock.Seqlock[quote]](), "struct ilk_seqlock"},
	{"seqlock.DoubleBuffer", reflect.TypeFor[seqlock.DoubleBuffer[quote]](), "struct ilk_doublebuffer"},
}

func TestGoIsAsTheDocumentSays(t *testing.T) {
	for _, s := range shared {
		rows := places(t, s.title)
		if len(rows) != s.typ.NumField() {
			t.Errorf("%s: %d fields in the document, %d in Go", s.title, len(rows), s.typ.NumField())
			continue
		}
		for i, row := range rows {
			f := s.typ.Field(i)
			size := fmt.Sprint(f.Type.Size())
			if n, ok := strings.CutSuffix(row.bytes, "T"); ok { // of T, or of an array of T
				size = row.bytes
				count, _ := strconv.Atoi(n)
				if want := reflect.TypeFor[quote]().Size() * uintptr(max(count, 1)); f.Type.Size() != want {
					t.Errorf("%s.%s: %d bytes in Go, %d in the document", s.title, f.Name, f.Type.Size(), want)
				}
			}
			if have := (place{int(f.Offset), size, strings.Replace(f.Name, "_", "-", 1)}); have != row {
				t.Errorf("%s: %v in Go, %v in the document", s.title, have, row)
			}
		}
	}
}

func TestCIsAsTheDocumentSays(t *testing.T) {
	var c strings.Builder
	c.WriteString("#include \"interlock.h\"\n#include <semaphore.h>\n")
	is := func(format string, args ...any) { fmt.Fprintf(&c, "ILK_ASSERT("+format+");\n", args...) }
	structs := append(shared[:len(shared):len(shared)], struct {
		title string
		typ   reflect.Type
		c     string
	}{"Segments of shm.Share", nil, "struct ilk_header"})
	for _, s := range structs {
		end := 0
		for _, row := range places(t, s.title) {
			n, err := strconv.Atoi(row.bytes)
			if err != nil {
				continue // T: behind the struct
			}
			end = row.offset + n
			if row.name != "-" && s.c != "sem_t" { // whose fields have no names
				is("offsetof(%s, %s) == %d && sizeof(((%s *)0)->%s) == %d", s.c, row.name, row.offset, s.c, row.name, n)
			}
		}
		is("sizeof(%s) == %d", s.c, end)
	}
	for _, m := range constants(t) {
		is("%s == %s", m[3], m[2])
	}
	for name, argv := range compilers {
		t.Run(name, func(t *testing.T) { compile(t, c.String(), append(append(argv, strict...), "-c")...) })
	}
	t.Run("arm64", func(t *testing.T) {
		compile(t, c.String(), "aarch64-linux-gnu-gcc", "-std=c11", "-D_GNU_SOURCE", "-c")
	})
}

// constants returns the rows: all, name, value, name in C.
func constants(t *testing.T) [][]string {
	t.Helper()
	return regexp.MustCompile(`(?m)^\| ([\w ]+) \| (\w+) \| ([A-Z_]+) \|$`).FindAllStringSubmatch(section(t, "Constants"), -1)
}

func TestConstantsAreAsTheDocumentSays(t *testing.T) {
	var m mutex.Mutex
	if err := m.Init(); err != nil {
		t.Fatal(err)
	}
	want := map[string]uint32{
		"WAITERS": robust.Waiters, "OWNER_DIED": robust.OwnerDied, "TID mask": robust.TIDMask,
		"INCONSISTENT": robust.Inconsistent, "NOT_RECOVERABLE": robust.NotRecoverable,
		"kind":           field[uint32](&m, "kind"),
		"header version": layout.Version, "ready": layout.StateReady, "payload": layout.PayloadOffset,
		"most permits": semaphore.MaxValue,
	}
	rows := constants(t)
	for _, row := range rows {
		if n, err := strconv.ParseUint(row[2], 0, 32); err != nil || uint32(n) != want[row[1]] {
			t.Errorf("%s is %#x, the document says %s", row[1], want[row[1]], row[2])
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d constants in the document, %d here", len(rows), len(want))
	}
}

// A drawing has, in pairs of lines, offsets and names. Names are cut to their boxes.
func TestDrawingsAreAsTheTables(t *testing.T) {
	for _, title := range []string{"mutex.Mutex", "semaphore.Semaphore", "condvar.Cond", "seqlock.Seqlock", "seqlock.DoubleBuffer", "Segments of shm.Share"} {
		_, drawing, _ := strings.Cut(section(t, title), "```\n")
		drawing, _, ok := strings.Cut(drawing, "```")
		if !ok {
			t.Errorf("%s has no drawing", title)
		}
		var offsets []int
		names := 0
		for _, line := range strings.Split(drawing, "\n") {
			if strings.HasPrefix(line, "|") {
				names += strings.Count(strings.TrimRight(line, "| v"), "|") + strings.Count(line, "| v")
				continue
			}
			for _, f := range strings.Fields(line) {
				if n, err := strconv.Atoi(f); err == nil && !slices.Contains(offsets, n) {
					offsets = append(offsets, n)
				}
			}
		}
		rows := places(t, title)
		var want []int
		for _, row := range rows {
			want = append(want, row.offset)
		}
		if last := rows[len(rows)-1]; !strings.HasSuffix(last.bytes, "T") {
			n, _ := strconv.Atoi(last.bytes)
			want = append(want, last.offset+n)
		}
		if !slices.Equal(offsets, want) || names != len(rows) {
			t.Errorf("%s: drawn are %v and %d names, the table has %v and %d", title, offsets, names, want, len(rows))
		}
	}
}

// Every edge that the code defines is in the document, and no other.
func TestStepsAreTheCodes(t *testing.T) {
	rule := regexp.MustCompile(`(?m)^//\s+(E-[MSCQ]\d+)\s{2,}`)
	row := regexp.MustCompile(`(?m)^\| (E-[MSCQ]\d+) \|`)
	in := func(text string, re *regexp.Regexp) (labels []string) {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			labels = append(labels, m[1])
		}
		slices.Sort(labels)
		return slices.Compact(labels)
	}
	code := ""
	for _, name := range []string{"mutex/word.go", "semaphore/word.go", "condvar/condvar.go", "seqlock/seqlock.go", "seqlock/doublebuffer.go"} {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		code += string(text)
	}
	if have, want := in(abi(t), row), in(code, rule); !slices.Equal(have, want) || len(want) < 20 {
		t.Errorf("the document has %v,\nthe code %v", have, want)
	}
}

func TestFingerprintAndDescriptionAreAsTheDocumentSays(t *testing.T) {
	type Shared struct {
		Mu      mutex.Mutex
		Counter uint64
	}
	_, described, _ := strings.Cut(layout.Describe(reflect.TypeFor[Shared]()), " ")
	if want := "    main.Shared " + described + "\n"; !strings.Contains(section(t, "Segments of shm.Share"), want) {
		t.Errorf("the example of a description is not\n%s", want)
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the document gives a fingerprint for amd64")
	}
	if want := fmt.Sprintf("    %#016x\n", layout.Fingerprint(reflect.TypeFor[struct{ Number, Twice uint64 }]())); !strings.Contains(section(t, "Segments of shm.Share"), want) {
		t.Errorf("the example of a fingerprint is not\n%s", want)
	}
}
