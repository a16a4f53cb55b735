// What holds for docs/from-c.md and docs/choose.md: what they name exists, and what
// a reader of the tutorials looks for is there.
package examples

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exported returns what the library packages export: "shm.Create", and of methods
// and fields "Segment.Close"; and all Examples.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, p := range []string{"shm", "semaphore", "mutex", "condvar", "seqlock", "futex"} {
		files, err := filepath.Glob("../" + p + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(p, err)
		}
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				collect(names, p, d, strings.HasSuffix(name, "_test.go"))
			}
		}
	}
	return names
}

func collect(names map[string]bool, p string, d ast.Decl, test bool) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		switch {
		case test && strings.HasPrefix(d.Name.Name, "Example"):
			names[d.Name.Name] = true
		case test:
		case d.Recv == nil:
			names[p+"."+d.Name.Name] = true
		default:
			typ := d.Recv.List[0].Type
			if star, ok := typ.(*ast.StarExpr); ok {
				typ = star.X
			}
			if of, ok := typ.(*ast.IndexExpr); ok {
				typ = of.X
			}
			names[typ.(*ast.Ident).Name+"."+d.Name.Name] = true
		}
	case *ast.GenDecl:
		if test {
			return
		}
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names[p+"."+spec.Name.Name] = true
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					names[p+"."+id.Name] = true
				}
			}
		}
	}
}

var (
	goName  = regexp.MustCompile(`\b(?:shm|semaphore|mutex|condvar|seqlock|futex|Segment|Semaphore|Named|Mutex|Cond|Seqlock|DoubleBuffer)\.[A-Z]\w*`)
	example = regexp.MustCompile(`\bExample\w+`)
	program = regexp.MustCompile(`\bexamples/((?:puzzles/)?\w+)`)
)

func TestTheDocumentsNameWhatExists(t *testing.T) {
	names := exported(t)
	for _, doc := range []string{"../docs/from-c.md", "../docs/choose.md"} {
		text := read(t, doc)
		found := append(goName.FindAllString(text, -1), example.FindAllString(text, -1)...)
		if len(found) < 10 {
			t.Errorf("%s: only %q", doc, found)
		}
		for _, name := range found {
			if !names[name] {
				t.Errorf("%s names %s: there is none", doc, name)
			}
		}
	}
	for _, absent := range []string{"shm.Nonsense", "Segment.Nonsense", "ExampleNonsense"} {
		if names[absent] {
			t.Errorf("%s exists", absent)
		}
	}
}

func TestTheProgramsAreListed(t *testing.T) {
	listed := map[string]bool{}
	for _, m := range program.FindAllStringSubmatch(read(t, "../docs/from-c.md"), -1) {
		listed[m[1]] = true
		if _, err := os.Stat(m[1] + "/main.go"); err != nil {
			t.Error(err)
		}
	}
	all, err := filepath.Glob("*/main.go")
	puzzles, err2 := filepath.Glob("puzzles/*/main.go")
	all = append(all, puzzles...)
	if err != nil || err2 != nil || len(all) < len(listed) {
		t.Error(all, err, err2)
	}
	for _, p := range all {
		if !listed[filepath.Dir(p)] {
			t.Errorf("docs/from-c.md does not list examples/%s", filepath.Dir(p))
		}
	}
}

// The calls that the tutorials teach.
const tutorials = `shm_open shm_unlink ftruncate mmap munmap msync mlock close O_TRUNC O_EXCL MAP_SHARED MAP_PRIVATE MAP_ANONYMOUS MAP_FIXED
	MAP_POPULATE MAP_HUGETLB MAP_FAILED fork
	ftok shmget shmat shmdt shmctl IPC_PRIVATE IPC_RMID IPC_STAT IPC_SET SHM_RND SHM_RDONLY SHM_LOCK SHM_HUGETLB ipcs ipcrm
	semget semop semctl SEM_UNDO
	sem_init sem_open sem_wait sem_trywait sem_timedwait sem_post sem_getvalue sem_close sem_unlink sem_destroy
	pthread_mutex_t pthread_mutex_init pthread_mutex_lock pthread_mutex_trylock pthread_mutex_timedlock pthread_mutex_unlock pthread_mutex_destroy
	pthread_mutexattr_setpshared PTHREAD_PROCESS_SHARED pthread_mutexattr_setrobust EOWNERDEAD pthread_mutex_consistent
	pthread_cond_wait pthread_condattr_setpshared pthread_rwlock_t pthread_barrier_t
	memfd_create MFD_CLOEXEC MFD_NOEXEC_SEAL F_ADD_SEALS F_GET_SEALS F_SEAL_WRITE F_SEAL_FUTURE_WRITE
	sendmsg recvmsg SCM_RIGHTS MSG_CMSG_CLOEXEC futex volatile sleep strncpy`

func TestEveryCallOfTheTutorialsIsThere(t *testing.T) {
	text := read(t, "../docs/from-c.md")
	for _, call := range strings.Fields(tutorials) {
		if !regexp.MustCompile(`\b` + call + `\b`).MatchString(text) {
			t.Errorf("docs/from-c.md has no %s", call)
		}
	}
}
