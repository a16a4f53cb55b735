package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"interlock/stress/internal/lab"
)

// Options say what is served.
type Options struct {
	Addr    string // host:port, a loopback address; port 0: any
	Program *lab.Program
	Engine  string // see lab.New
}

// ErrAddr: others could come to this address.
var ErrAddr = errors.New("not a loopback address: whoever reaches the page moves processes of yours")

// ErrLeft: nobody looks any more.
var ErrLeft = errors.New("the page was closed")

// grace is how long the processes stay when no page is open: a reload takes less.
const grace = 5 * time.Second

//go:embed page
var page embed.FS

// Serve shows the lab until ctx ends, or the last page is closed: ErrLeft.
func Serve(ctx context.Context, o Options, out io.Writer) error {
	ln, err := listen(o.Addr)
	if err != nil {
		return err
	}
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // it never fails
	token := hex.EncodeToString(secret)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := newHub(o, func() { cancel(ErrLeft) })
	defer h.close()
	s := &http.Server{
		Handler:           guard(ln.Addr().(*net.TCPAddr), token, routes(h)),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
	}
	fmt.Fprintf(out, "Open http://%s/%s/\nFor this machine only. The processes end with the page, or with Ctrl-C.\n", ln.Addr(), token)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		err = context.Cause(ctx)
		_ = s.Close()
		<-served
	}
	return err
}

func listen(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "localhost" {
		addr = "127.0.0.1" + strings.TrimPrefix(addr, host)
	} else if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s: %w", addr, ErrAddr)
	}
	return net.Listen("tcp", addr)
}

// guard lets in who knows the token and calls the server by its address.
func guard(addr *net.TCPAddr, token string, next http.Handler) http.Handler {
	hosts := []string{addr.String(), net.JoinHostPort("localhost", strconv.Itoa(addr.Port))}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if !slices.Contains(hosts, r.Host) || origin != "" && origin != "http://"+r.Host {
			http.Error(w, "not this host", http.StatusForbidden)
			return
		}
		given, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			http.Error(w, "the address is the one that stress demo -web has printed", http.StatusForbidden)
			return
		}
		head := w.Header()
		head.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cache-Control", "no-store")
		r.URL.Path = "/" + rest
		next.ServeHTTP(w, r)
	})
}

func routes(h *hub) http.Handler {
	mux := http.NewServeMux()
	for _, f := range []struct{ path, file, kind string }{
		{"/{$}", "index.html", "text/html"},
		{"/lab.js", "lab.js", "text/javascript"},
		{"/lab.css", "lab.css", "text/css"},
	} {
		text, err := page.ReadFile("page/" + f.file)
		if err != nil {
			panic(err) // it is embedded
		}
		mux.HandleFunc("GET "+f.path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", f.kind+"; charset=utf-8")
			_, _ = w.Write(text)
		})
	}
	mux.HandleFunc("GET /events", h.events)
	mux.HandleFunc("POST /do", h.do)
	return mux
}
