package main

import (
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// lines are those of the scripts that run.
var lines sync.Map // by working directory

// lineTo is the command line of scripts.
func lineTo(ts *testscript.TestScript, _ bool, args []string) {
	here := ts.MkAbs("")
	if len(args) == 1 && args[0] != "cut" && args[0] != "mend" {
		container(ts, false, args)
		server, err := url.Parse(azure.Endpoint)
		ts.Check(err)
		p, err := startProxy(server.Host)
		ts.Check(err)
		ts.Defer(func() { lines.Delete(here); p.Close(); p.set(true) })
		lines.Store(here, p)
		ts.Setenv(args[0], strings.ReplaceAll(ts.Getenv(args[0]), url.QueryEscape(server.Host), url.QueryEscape(p.Addr().String())))
		return
	}
	p, ok := lines.Load(here)
	if !ok || len(args) == 0 {
		ts.Fatalf("usage: line VAR, and then line cut|mend|sent MIB|count MIB")
	}
	p.(*proxy).do(ts, args[0], args[1:])
}

func (p *proxy) do(ts *testscript.TestScript, verb string, args []string) {
	var bytes int64
	if len(args) == 1 {
		mib, err := strconv.ParseInt(args[0], 10, 64)
		ts.Check(err)
		bytes = mib << 20
	}
	switch verb {
	case "cut", "mend":
		p.set(verb == "cut")
	case "sent":
		for range 3000 {
			if p.sent.Load() >= bytes {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		ts.Fatalf("only %d bytes were sent", p.sent.Load())
	case "count":
		if n := p.sent.Swap(0); n > bytes {
			ts.Fatalf("%d bytes were sent", n)
		}
	default:
		ts.Fatalf("line %s: no such thing", verb)
	}
}

// A proxy is a line to a server that can be cut. It counts the bytes that went there.
type proxy struct {
	net.Listener
	to   string
	sent atomic.Int64

	mu    sync.Mutex
	cut   bool              // connections break, and new ones at once
	conns map[net.Conn]bool // open ones
}

// startProxy listens on a free port of the loopback.
func startProxy(to string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{Listener: l, to: to, conns: map[net.Conn]bool{}}
	go p.serve()
	return p, nil
}

func (p *proxy) serve() {
	for {
		c, err := p.Accept()
		if err != nil {
			return
		}
		go p.pass(c)
	}
}

// pass connects a client with the server until either ends, or the line is cut.
func (p *proxy) pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.to)
	if err != nil || !p.add(c, s) {
		return
	}
	defer p.remove(c, s)
	go func() {
		defer c.Close()
		io.Copy(c, s)
	}()
	io.Copy(s, io.TeeReader(c, tally{&p.sent}))
	s.Close()
}

// A tally counts what is written to it.
type tally struct{ n *atomic.Int64 }

func (t tally) Write(b []byte) (int, error) {
	t.n.Add(int64(len(b)))
	return len(b), nil
}

func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.cut {
			c.Close()
		} else {
			p.conns[c] = true
		}
	}
	return !p.cut
}

func (p *proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c)
	}
}

// set cuts the line, or mends it.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for c := range p.conns {
		if cut {
			c.Close()
		}
	}
}
