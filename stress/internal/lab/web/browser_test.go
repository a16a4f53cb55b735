package web

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"interlock/internal/race"
	"interlock/stress/internal/lab"
	"interlock/stress/internal/ptrace"
)

// The browsers that the test knows, the smallest first. Debian's commands are shell scripts
// which, killed, leave the browser running; so the program itself goes before.
var browsers = []string{"/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium", "chromium-headless-shell", "headless_shell", "chrome-headless-shell", "chromium", "google-chrome"}

// patience is for one step of a test: a browser takes its time to start.
const patience = time.Minute

// open starts a browser that shows the page.
func open(t *testing.T, url string, width, height int) context.Context {
	t.Helper()
	found := ""
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			found = path
			break
		}
	}
	if found == "" {
		t.Skip("no browser here: apt-get install chromium-headless-shell")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(found), chromedp.WindowSize(width, height),
		chromedp.Flag("no-sandbox", os.Getuid() == 0)) // as root it does not start with it
	goruntime.LockOSThread() // until the test ends: the kernel ends a browser with the thread that started it
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(ctx)
	allocator := chromedp.FromContext(ctx).Allocator
	t.Cleanup(func() {
		end()
		allocator.Wait()
	})
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*patience)
	t.Cleanup(cancel)
	chromedp.ListenTarget(ctx, func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Error("the script: ", e.ExceptionDetails)
		}
	})
	if err := chromedp.Run(ctx, chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Navigate(url), chromedp.WaitVisible("#A .pid")); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// page is what a test does to the page.
type pageUnderTest struct {
	t   *testing.T
	ctx context.Context
}

func (p pageUnderTest) run(what string, actions ...chromedp.Action) {
	p.t.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

func (p pageUnderTest) click(selector string) {
	p.t.Helper()
	p.run(selector, chromedp.Click(selector))
}
func (p pageUnderTest) key(key string) { p.t.Helper(); p.run(key, chromedp.KeyEvent(key)) }

func (p pageUnderTest) text(selector string) (text string) {
	p.t.Helper()
	p.run(selector, chromedp.Text(selector, &text))
	return text
}

// await waits until an element says what it is to say.
func (p pageUnderTest) await(selector, want string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	script := fmt.Sprintf("document.querySelector(%q)?.textContent.includes(%q)", selector, want)
	if err := chromedp.Run(ctx, chromedp.Poll(script, nil, chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		var got string
		_ = chromedp.Run(p.ctx, chromedp.Evaluate("document.body.innerText", &got))
		p.t.Fatalf("%s does not come to say %q: %v\n%s", selector, want, err, got)
	}
}

// settled waits until nothing is being replayed any more.
func (p pageUnderTest) settled() {
	p.t.Helper()
	p.run("the end of a replay", chromedp.Poll(`waiting === 0`, nil, chromedp.WithPollingInterval(20*time.Millisecond)))
}

// pictures is a folder, by its whole path, to which screenshots are written; "": none.
var pictures = os.Getenv("INTERLOCK_PICTURES")

func (p pageUnderTest) picture(name string) {
	p.t.Helper()
	if pictures == "" {
		return
	}
	var png []byte
	p.run(name, chromedp.FullScreenshot(&png, 100))
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func engineHere(t *testing.T) string {
	t.Helper()
	if race.Enabled || !ptrace.Supported {
		return lab.EngineOp
	}
	return ""
}

// What a student does: lose an addition by hand, put the lock on, and see that the other
// process waits; kill the holder, and see that it goes on.
func TestLoseFixKillRecover(t *testing.T) {
	url, _ := serve(t, engineHere(t))
	p := pageUnderTest{t, open(t, url, 1280, 800)}
	p.await("#task", "Break it")
	p.picture("start")
	p.key("ababab") // faster than anybody: none is dropped
	p.await("#history tbody tr:last-child td", "6")
	p.await("#lost", "1")
	p.await("#task", "the later store overwrote")
	p.picture("lost")
	p.click("[data-key=r]")
	p.await("#burst", "of 2,000 additions")
	var hash string
	p.run("hash", chromedp.Evaluate("location.hash", &hash))
	if hash != "#prog=plain&sched=ABABAB" {
		t.Errorf("the address ends in %s", hash)
	}

	p.click("[data-key=l]")
	p.await("#programs [aria-pressed=true]", "mutex")
	p.await("#task", "Now with mutex.Mutex")
	p.key("a")
	p.await("#lock", "held by A")
	p.key("a")
	p.await("#history tbody tr:last-child td", "2")
	p.key("b")
	p.await("#B .says", "asleep in the kernel")
	p.await("#queue", "B: thread")
	p.picture("asleep")

	holder := p.text("#A .pid")
	p.key("k")
	p.await("#A .says", "killed")
	p.await("#task", strings.TrimPrefix(holder, "pid ")+" died holding it")
	p.await("#lock", "held by B")
	p.picture("recovered")
	p.key("r")
	p.await("#burst", "1,000 of 1,000")
	p.await("#lost", "0")
}

// On a small screen too nothing is cut off, with all that there is to see.
func TestNarrow(t *testing.T) {
	url, _ := serve(t, engineHere(t))
	p := pageUnderTest{t, open(t, url+"#prog=mutex&sched=AAAB", 390, 844)}
	p.await("#B .says", "asleep in the kernel")
	p.key("x")
	p.await("#A .says", "killed")
	p.picture("narrow-killed")
	p.notTooWide()
	p.key("n")
	p.await("#A .says", "before")
	if !race.Enabled { // with it this takes half a minute
		p.key("m")
		p.await("#burst", "2,000,000")
	}
	p.picture("narrow-burst")
	p.notTooWide()
}

func (p pageUnderTest) notTooWide() {
	p.t.Helper()
	var wide bool
	p.run("width", chromedp.Evaluate("document.documentElement.scrollWidth > innerWidth", &wide))
	if wide {
		p.t.Error("the page is wider than the window")
	}
}

// The lock that everybody writes first: both get in, and who waits for a dead one looks
// for ever.
func TestALockOfOurOwn(t *testing.T) {
	url, _ := serve(t, engineHere(t))
	p := pageUnderTest{t, open(t, url, 1280, 800)}
	p.click("[data-program=checked]")
	p.await("#task", "A lock of our own")
	p.run("schedule", chromedp.SetValue("#schedule", "ABABAB"))
	p.click("#form button")
	p.await("#task", "Both are inside")
	p.await("#history tbody tr:last-child td", "6")
	p.settled()
	p.picture("inside")
	p.run("schedule", chromedp.SetValue("#schedule", "AAAxBB"))
	p.click("#form button")
	p.await("#history tbody tr:last-child td", "6")
	p.await("#task", "looks again, for ever")
}

// An address with a schedule plays it, and each of the orders is run for real.
func TestScheduleInTheAddress(t *testing.T) {
	url, _ := serve(t, lab.EngineOp)
	p := pageUnderTest{t, open(t, url+"#prog=plain&sched=AABBBA", 390, 844)}
	p.await("#history tbody tr:last-child td", "6")
	p.await("#lost", "1")
	p.picture("narrow")
	pid := p.text("#A .pid")
	p.key("o")
	p.await("#tally", "Run so far: 1")
	p.await("#lost", "0")
	if again := p.text("#A .pid"); again == pid {
		t.Errorf("the same process (%s) plays another order", pid)
	}
	p.click("#orders button:nth-child(20)")
	p.await("#tally", "Run so far: 2")
	p.settled()
	p.run("text", chromedp.SetValue("#schedule", "ABAB AB"), chromedp.Click("#form button"))
	p.await("#history tbody tr:last-child td", "6")
	p.await("#lost", "1")
	p.click("[data-program=mutex]")
	p.await("#task", "Now with mutex.Mutex")
	p.picture("narrow-mutex")
	p.notTooWide()
}
