package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"waybill/internal/azurite"
)

// Rows of bench azure beside those of the other benches.
const rowUpload = "upload" // of a seed's disk, as it is

// azureOptions are what the command line of bench azure says.
type azureOptions struct {
	tools        []string
	runs, size   int // size in MiB
	dir, waybill string
	json         bool
}

// A cloud measures programs against Azurite: one run of one program after the other, each with an Azurite of its own that has just started.
type cloud struct {
	*azureOptions
	bin, work, source, disk string
	report                  *azureReport
	log                     io.Writer

	server *azurite.Server // of the run at hand
	asked  *requests
}

// benchAzure measures and prints the report. Everything it writes is in a directory of its own, gone when it returns.
func benchAzure(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseAzure(args, stderr)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.dir, "bench-")
	if err != nil {
		return fmt.Errorf("making a working directory: %w", err)
	}
	defer discard(&err, work)
	c := &cloud{azureOptions: o, work: work, bin: o.waybill, log: stderr, report: newAzureReport(o)}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	for run := range o.runs {
		for _, t := range rotated(c.present(ctx), run) {
			if err := c.turn(ctx, t, run); err != nil {
				return fmt.Errorf("%s, run %d: %w", t.name, run+1, err)
			}
		}
	}
	return show(c.report, o.json, stdout)
}

func parseAzure(args []string, stderr io.Writer) (*azureOptions, error) {
	o := &azureOptions{tools: azureToolNames}
	f := flag.NewFlagSet("bench azure", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Func("tools", fmt.Sprintf("programs; those that are not installed are left out (default %s)", strings.Join(azureToolNames, ",")),
		func(s string) error { o.tools = split(s); return nil })
	f.IntVar(&o.runs, "runs", 3, "runs of each; the report shows medians")
	f.IntVar(&o.size, "size", 1024, "MiB of the mixed corpus")
	f.StringVar(&o.dir, "dir", defaultDir(), "where corpus, disk and restores go; what is uploaded is in Azurite's memory")
	f.StringVar(&o.waybill, "waybill", "", "the program to measure (default: built from this module)")
	f.BoolVar(&o.json, "json", false, "print one JSON object instead of tables")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || o.runs < 1 || o.size < 1 || o.size > mixedBytes>>20 {
		return nil, fmt.Errorf("no use for %q: --runs is 1 or more, --size is at most %d, and there are no arguments", args, mixedBytes>>20)
	}
	return o, known("program", o.tools, azureToolNames)
}

// rotated begins with another item in each run, so that none always has the machine as the same other left it.
func rotated[T any](list []T, run int) []T {
	n := run % max(len(list), 1)
	return slices.Concat(list[n:], list[:n])
}

// prepare builds the program, the corpus, a certificate for Azurite, and a disk to be uploaded.
func (c *cloud) prepare(ctx context.Context) (err error) {
	if c.bin == "" {
		if c.bin, err = buildWaybill(ctx, c.work); err != nil {
			return err
		}
	}
	c.source, c.disk = filepath.Join(c.work, "mixed"), filepath.Join(c.work, "disk")
	corpus := &corpus{name: "mixed", scale: float64(c.size) * (1 << 20) / mixedBytes}
	if err := errors.Join(os.Mkdir(c.source, 0o777), buildMixed(ctx, corpus, c.source)); err != nil {
		return err
	}
	entries, bytes, err := size(c.source)
	if err != nil {
		return err
	}
	c.report.addCorpus("azure", entries, bytes)
	if err := c.certify(ctx); err != nil {
		return err
	}
	return c.seed(ctx)
}

// host is the name that peers know the account by, who can't be told an URL. It is in a file of hosts that only they see.
const host = azurite.Account + ".blob." + suffix

const suffix = "waybill.test"

// certify makes a certificate for Azurite, whom restic asks by TLS only.
func (c *cloud) certify(ctx context.Context) error {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path("hosts"), append(hosts, "\n127.0.0.1 "+host+"\n"...), 0o666); err != nil {
		return err
	}
	return say(ctx, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", c.path("key.pem"), "-out", c.path("cert.pem"), "-days", "30",
		"-subj", "/CN=waybill.test", "-addext", "subjectAltName=DNS:"+host+",IP:127.0.0.1")
}

func (c *cloud) path(name string) string { return filepath.Join(c.work, name) }

// seed fills the disk, of the vault that each run's ingest gets a copy of. The vault's container is made anew each time, so it is kept in a directory.
func (c *cloud) seed(ctx context.Context) error {
	p := &place{repo: c.path("vault"), own: c.path("seeder"), source: c.source, disk: c.disk}
	for _, dir := range []string{p.repo, p.own, p.disk} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			return err
		}
	}
	steps := append(waybillSetup(c.bin)(p), []string{c.bin, "seed", "--quiet", "--no-hwtest", "--offline", "--parity", "off", "--pack-size", "64MiB", "--to", p.disk, c.source})
	for _, args := range steps {
		if _, err := (&command{args: args, dir: p.own, env: waybillEnv(p)}).measure(ctx); err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
	}
	return nil
}

// present are the programs asked for that are here.
func (c *cloud) present(ctx context.Context) (here []*azureTool) {
	for _, t := range azureTools(c.bin) {
		if !slices.Contains(c.tools, t.name) {
			continue
		}
		if err := t.available(ctx); err != nil {
			if c.report.Tools[t.name] == "" {
				fmt.Fprintf(c.log, "left out: %s: %v\n", t.name, err)
				c.report.Tools[t.name] = "left out"
			}
			continue
		}
		c.report.Tools[t.name] = t.says(ctx)
		here = append(here, t)
	}
	return here
}

// turn runs one program's steps against an Azurite that has just started.
func (c *cloud) turn(ctx context.Context, t *azureTool, run int) (err error) {
	c.asked = &requests{}
	c.server = &azurite.Server{Log: c.asked}
	if err := c.server.Run("--cert", c.path("cert.pem"), "--key", c.path("key.pem"), "--loose"); err != nil {
		return err
	}
	defer c.server.Stop()
	at := c.path(fmt.Sprintf("%s-%d", t.name, run))
	p := &place{source: c.source, disk: c.disk, own: filepath.Join(at, "own"), out: filepath.Join(at, "out")}
	defer discard(&err, at)
	if err := errors.Join(os.MkdirAll(p.own, 0o777), os.MkdirAll(p.out, 0o777)); err != nil {
		return err
	}
	for _, args := range t.setup(c, p) {
		if _, err := c.command(t, p, args).measure(ctx); err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
	}
	for _, s := range t.steps {
		if s.row == rowChanged {
			if err := changeSome(c.source, run); err != nil {
				return err
			}
		}
		if err := c.step(ctx, t, p, s); err != nil {
			return fmt.Errorf("%s: %w", s.row, err)
		}
	}
	return nil
}

func (c *cloud) step(ctx context.Context, t *azureTool, p *place, s azureStep) error {
	before := c.asked.so()
	got, err := c.command(t, p, s.args(c, p)).measure(ctx)
	if err != nil {
		return err
	}
	got.Requests = c.asked.so() - before
	c.report.add("azure", t.name, s.row, got)
	fmt.Fprintf(c.log, "%s: %s %.2f s, %d requests\n", t.name, s.row, got.Seconds, got.Requests)
	return nil
}

func (c *cloud) command(t *azureTool, p *place, args []string) *command {
	return &command{args: args, dir: p.own, env: append(t.env(c, p), "SSL_CERT_FILE="+c.path("cert.pem"))}
}

// port is where Azurite listens.
func (c *cloud) port() string { return portForm.FindStringSubmatch(c.server.Endpoint)[1] }

var portForm = regexp.MustCompile(`:([0-9]+)/`)

// changeSome rewrites a hundred files of the corpus, which are others in each run.
func changeSome(dir string, run int) error {
	const some = 100
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for i := range min(some, len(files)) {
		name := files[(i*len(files)/some+run)%len(files)]
		if err := os.WriteFile(name, fmt.Appendf(nil, "changed in run %d: file %d\n", run, i), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// requests counts the lines of Azurite's log that are of a request. It is safe for concurrent use.
type requests struct {
	mu    sync.Mutex
	rest  []byte
	count int64
}

var requestForm = regexp.MustCompile(`"(GET|PUT|POST|HEAD|DELETE) \S+ HTTP/`)

// Write takes a part of the log.
func (r *requests) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	for {
		line, rest, ok := bytes.Cut(r.rest, []byte{'\n'})
		if !ok {
			return len(p), nil
		}
		r.rest = rest
		if requestForm.Match(line) {
			r.count++
		}
	}
}

// so returns how many there were so far.
func (r *requests) so() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// inHosts runs a command where the account's name is known: in a mount namespace of its own.
func (c *cloud) inHosts(args ...string) []string {
	return append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$1" /etc/hosts && shift && exec "$@"`, "sh", c.path("hosts")}, args...)
}
