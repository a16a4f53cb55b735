package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"interlock/stress/internal/lab"
)

// The test binary is its own process of the lab.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == lab.WorkerCommand {
		os.Exit(lab.Work(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// serve starts a server; its end is sent to ended.
func serve(t *testing.T, engine string) (url string, ended <-chan error) {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, Options{Addr: "127.0.0.1:0", Program: lab.Find("plain"), Engine: engine}, w)
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		for range r2lines(r) { // until it has ended
		}
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "Open ")), done
}

func r2lines(r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

func status(t *testing.T, method, url, host, origin, body string) int {
	t.Helper()
	q, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		q.Host = host
	}
	if origin != "" {
		q.Header.Set("Origin", origin)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	return r.StatusCode
}

// Who does not know the token, or comes by another name, is not let in.
func TestWhoIsLetIn(t *testing.T) {
	url, _ := serve(t, lab.EngineOp)
	base := url[:strings.LastIndex(strings.TrimSuffix(url, "/"), "/")]
	host := strings.TrimPrefix(base, "http://")
	_, port, _ := net.SplitHostPort(host)
	for _, c := range []struct {
		method, url, host, origin, body string
		want                            int
	}{
		{"GET", url, "", "", "", 200},
		{"GET", url + "lab.js", "localhost:" + port, "", "", 200},
		{"GET", url + "lab.css", "", "http://" + host, "", 200},
		{"GET", url + "nosuch", "", "", "", 404},
		{"GET", url, "evil.example:" + port, "", "", 403},
		{"GET", url, "127.0.0.1", "", "", 403},
		{"POST", url + "do", "", "http://evil.example", "{}", 403},
		{"POST", url + "do", "", "null", "{}", 403},
		{"GET", base + "/", "", "", "", 403},
		{"GET", base + "/" + strings.Repeat("0", 32) + "/", "", "", "", 403},
		{"GET", base + "/events", "", "", "", 403},
		{"GET", url + "do", "", "", "", 405},
		{"POST", url + "do", "", "", "{", 400},
		{"POST", url + "do", "", "", `{"schedule":"Q"}`, 400},
		{"POST", url + "do", "", "", `{"program":"nosuch"}`, 400},
		{"POST", url + "do", "", "", `{"burst":99999999999}`, 400},
		{"POST", url + "do", "", "", `{"schedule":"A"}`, 409}, // no page is open
	} {
		if got := status(t, c.method, c.url, c.host, c.origin, c.body); got != c.want {
			t.Errorf("%+v: %d, want %d", c, got, c.want)
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // who is served after all ends at once
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:80"} {
		if err := Serve(ctx, Options{Addr: addr}, io.Discard); !errors.Is(err, ErrAddr) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// With the page the processes end, and with them the server.
func TestItEndsWithThePage(t *testing.T) {
	url, ended := serve(t, lab.EngineOp)
	r, err := http.Get(url + "events")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(r.Body).ReadString('\n'); err != nil || !strings.Contains(line, `"pid":`) {
		t.Errorf("%q %v", line, err)
	}
	if children(t) == "" {
		t.Error("there are no processes")
	}
	if got := status(t, "POST", url+"do", "", "", `{"schedule":"AB"}`); got != 200 {
		t.Errorf("a step is answered with %d", got)
	}
	r.Body.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrLeft) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the server goes on")
	}
	if left := children(t); left != "" {
		t.Errorf("processes left behind: %s", left)
	}
}

func children(t *testing.T) (all string) {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		all += string(text)
	}
	return all
}
