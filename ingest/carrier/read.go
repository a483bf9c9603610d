package carrier

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The limits of a log. Logs of half a billion files are read all the same: nothing is kept.
const (
	maxToken = 1 << 20 // bytes of one tag or text
	maxDepth = 16
	maxText  = 8 << 10 // bytes of a path or reason
)

// A Summary is what a log says about itself.
type Summary struct {
	Kind    string // "bill of materials", "error log", "copy log", "verbose log", "drive log" or "validation log"
	Status  string // of the whole copy: Succeeded, Failed, Completed, ...; empty when the log doesn't tell
	Entries int64
}

// Read reads a log from front to back and calls each with what it says of every file. It fails with ErrLog for what is no log, or is cut off, and with each's
// first error.
//
// Azure's logs are often no whole XML documents but one element after the other; so nothing is asked of what stands around them.
func Read(r io.Reader, each func(Entry) error) (Summary, error) {
	text, err := decoded(r)
	if err != nil {
		return Summary{}, err
	}
	limited := &limiter{r: text}
	p := &parser{dec: xml.NewDecoder(limited), limited: limited, each: each}
	p.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // decoded already
	if err := p.run(); err != nil {
		return p.sum, err
	}
	if p.sum.Kind == "" {
		return p.sum, ErrLog
	}
	return p.sum, nil
}

// decoded makes UTF-8 of a log, which may begin with a byte order mark.
func decoded(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(3)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		b.Discard(3) // it is there
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		b.Discard(2)
		return &wide{r: b, little: head[0] == 0xff}, nil
	}
	return b, nil
}

// wide reads UTF-16 as UTF-8.
type wide struct {
	r      *bufio.Reader
	little bool
	rest   []byte
	err    error
}

func (w *wide) Read(p []byte) (int, error) {
	for len(w.rest) == 0 && w.err == nil {
		var r rune
		if r, w.err = w.unit(); w.err == nil {
			if utf16.IsSurrogate(r) {
				var low rune
				low, w.err = w.unit()
				r = utf16.DecodeRune(r, low)
			}
			w.rest = utf8.AppendRune(nil, r)
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	if n > 0 {
		return n, nil
	}
	return 0, w.err
}

func (w *wide) unit() (rune, error) {
	var b [2]byte
	if _, err := io.ReadFull(w.r, b[:]); err != nil {
		return 0, err
	}
	if w.little {
		b[0], b[1] = b[1], b[0]
	}
	return rune(b[0])<<8 | rune(b[1]), nil
}

// A limiter fails when a single tag or text is too long.
type limiter struct {
	r     io.Reader
	since int // bytes since the last token
}

var errLong = errors.New("a tag or text is too long")

func (l *limiter) Read(p []byte) (int, error) {
	if l.since > maxToken {
		return 0, errLong
	}
	n, err := l.r.Read(p)
	l.since += n
	return n, err
}

// An element is one that is open.
type element struct {
	name string
	attr map[string]string
	text strings.Builder
}

type parser struct {
	dec     *xml.Decoder
	limited *limiter
	each    func(Entry) error
	sum     Summary
	open    []*element
	fields  map[string]string // the texts of the elements in the file's element that is open
	blocks  []block           // of a drive log's file
}

// A block is a part of a file in a drive log.
type block struct {
	length int64
	hash   string
	status string
}

func (p *parser) run() error {
	for {
		t, err := p.dec.Token()
		p.limited.since = 0
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLog, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			err = p.start(t)
		case xml.CharData:
			if n := len(p.open); n > 0 && p.open[n-1].text.Len()+len(t) <= maxText {
				p.open[n-1].text.Write(t)
			}
		case xml.EndElement:
			err = p.end()
		}
		if err != nil {
			return err
		}
	}
}

func (p *parser) start(t xml.StartElement) error {
	if len(p.open) == maxDepth {
		return fmt.Errorf("%w: nested too deeply", ErrLog)
	}
	e := &element{name: t.Name.Local, attr: map[string]string{}}
	for _, a := range t.Attr {
		e.attr[a.Name.Local] = a.Value
	}
	switch e.name {
	case "DriveLog":
		p.kind("drive log")
	case "ErrorLog":
		p.kind("validation log")
	case "CopyLog", "ErroredEntity":
		p.kind("copy log")
	}
	if p.isFile(e) {
		p.fields, p.blocks = map[string]string{}, nil
	}
	p.open = append(p.open, e)
	return nil
}

// kind keeps what the log shows itself to be first.
func (p *parser) kind(k string) {
	if p.sum.Kind == "" {
		p.sum.Kind = k
	}
}

// isFile tells whether an element is about one file.
func (p *parser) isFile(e *element) bool {
	switch e.name {
	case "file", "File", "Blob", "ErroredEntity":
		return true
	}
	return false
}

func (p *parser) end() error {
	e := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	text := strings.TrimSpace(e.text.String())
	switch {
	case p.isFile(e):
		return p.file(e, text)
	case e.name == "Status" && len(p.open) == 1:
		p.sum.Status = text
	case e.name == "Block", e.name == "PageRange", e.name == "FileRange":
		length, err := strconv.ParseInt(e.attr["Length"], 10, 64)
		if err == nil && len(p.blocks) < 2 || e.attr["Status"] != "Completed" && len(p.blocks) < 3 {
			p.blocks = append(p.blocks, block{length, strings.TrimSpace(e.attr["Hash"]), e.attr["Status"]})
		}
	case e.name == "ImportDisposition":
		p.field("ImportDisposition", e.attr["Status"])
	default:
		p.field(e.name, text)
	}
	return nil
}

// field keeps a text of the file that is open.
func (p *parser) field(name, text string) {
	if p.fields != nil && len(p.fields) < 32 {
		p.fields[name] = text
	}
}

// file makes an entry of an element about a file.
func (p *parser) file(e *element, text string) error {
	entry := Entry{Size: -1}
	switch {
	case e.name == "ErroredEntity":
		p.errored(&entry, e)
	case e.attr["CloudFormat"] != "":
		p.kind("verbose log")
		entry.Path, entry.Fate = e.attr["Path"], Arrived
		entry.numbers(e.attr["Size"], e.attr["crc64"], 10)
	case e.attr["error"] != "":
		p.kind("error log")
		entry.Path, entry.Fate, entry.Reason = text, Failed, e.attr["error"]
		if e.attr["name_encoding"] == "Base64" {
			if b, err := base64.StdEncoding.DecodeString(text); err == nil {
				entry.Path = strings.ToValidUTF8(string(b), "\uFFFD")
			}
		}
	case e.attr["size"] != "":
		p.kind("bill of materials")
		entry.Path, entry.Fate = text, Loaded
		entry.numbers(e.attr["size"], e.attr["crc64"], 16)
		if entry.Sums&HasCRC64 == 0 || entry.CRC64 == 0 && entry.Size > 0 {
			entry.Fate, entry.Reason, entry.Sums = Failed, "the device could not read it: it has no crc64", 0
		}
	case e.attr["Status"] != "":
		p.drive(&entry, e)
	case e.attr["Path"] != "" && p.sum.Kind == "validation log":
		entry.Path, entry.Fate, entry.Reason = e.attr["Path"], Failed, p.code()
	}
	p.fields = nil
	if entry.Path == "" {
		return nil
	}
	entry.Path = strings.ReplaceAll(entry.Path, `\`, "/")
	p.sum.Entries++
	return p.each(entry)
}

// code is that of the validation log's Error that is open.
func (p *parser) code() string {
	for _, e := range p.open {
		if c := e.attr["Code"]; c != "" {
			return c
		}
	}
	return "not valid"
}

// numbers reads a size and a CRC-64. One that is absent or malformed is not there.
func (e *Entry) numbers(size, crc string, base int) {
	if n, err := strconv.ParseInt(size, 10, 64); err == nil && n >= 0 {
		e.Size = n
	}
	crc = strings.TrimPrefix(strings.TrimSpace(crc), "0x")
	if n, err := strconv.ParseUint(crc, base, 64); err == nil {
		e.CRC64 = n
		e.Sums |= HasCRC64
	}
}

// errored reads an entry of a copy log, which lists what went wrong and what was renamed.
func (p *parser) errored(entry *Entry, e *element) {
	category, message := p.fields["Category"], p.fields["ErrorMessage"]
	entry.Path, entry.Fate = e.attr["Path"], Failed
	entry.Reason = strings.TrimSpace(strings.Join([]string{category, p.fields["ErrorCode"], message}, " "))
	entry.Whole = p.fields["Type"] == "Container"
	if !strings.HasSuffix(category, "Renamed") {
		return
	}
	entry.Fate = Renamed
	if _, rest, ok := strings.Cut(message, "renamed to:"); ok {
		to, _, _ := strings.Cut(rest, ":from:")
		entry.NewTo = strings.TrimSpace(to)
	}
}

// drive reads an entry of a drive log: of Data Box Disk before 2021, and of Import/Export.
func (p *parser) drive(entry *Entry, e *element) {
	first := func(names ...string) string {
		for _, name := range names {
			if p.fields[name] != "" {
				return p.fields[name]
			}
		}
		return ""
	}
	status, disposition := e.attr["Status"], p.fields["ImportDisposition"]
	stored := first("BlobPath", "FileStoragePath")
	entry.Path, entry.Fate = first("OriginalFilePath", "FilePath", "BlobPath", "FileStoragePath"), Arrived
	entry.numbers(first("Length", "SizeInBytes"), "", 16)
	switch {
	case strings.HasSuffix(status, "Renamed") || status == "Completed" && disposition == "Renamed":
		entry.Fate, entry.Reason, entry.NewTo = Renamed, status, stored
	case status != "Completed" && status != "None":
		entry.Fate, entry.Reason = Failed, status
	case disposition == "Skipped":
		entry.Fate, entry.Reason = Failed, "Skipped: something of that name was there"
	}
	for _, b := range p.blocks {
		if b.status != "Completed" && entry.Fate == Arrived {
			entry.Fate, entry.Reason = Failed, "a part of it: "+b.status
		}
	}
	if len(p.blocks) == 1 && p.blocks[0].length == entry.Size && len(p.blocks[0].hash) == 2*len(entry.MD5) {
		if _, err := hex.Decode(entry.MD5[:], []byte(p.blocks[0].hash)); err == nil {
			entry.Sums |= HasMD5
		}
	}
}
