package pack

import (
	"bytes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"

	"filippo.io/age"
	"github.com/minio/crc64nvme"

	"waybill/manifest"
)

// A lane writes packs of one class, one after the other, in a goroutine of its own. Several lanes of a class
// write at once, each to its disk.
type lane struct {
	w     *Writer
	class *class

	commits chan struct{} // has one for each commit that goes on beside the pack being filled, and no room for more

	mu     sync.Mutex // guards all below
	pack   *openPack
	sealed []byte
	err    error // the first failure: bytes may be missing from the pack, so it must never be committed
}

// An openPack is a pack being written.
type openPack struct {
	target Target
	header [headerSize]byte
	key    [32]byte
	aead   cipher.AEAD
	size   int64
	frames uint32
	table  Table
	sha    hash.Hash
	md5    hash.Hash
	crc    hash.Hash64
}

// run writes the class's frames until there are no more. After a failure it still takes them, so that no worker waits for ever.
func (l *lane) run() {
	for f := range l.class.ready {
		if l.w.ctx.Err() == nil {
			if err := l.append(f); err != nil {
				l.w.cancel(err)
			}
		}
		l.class.release(f)
		l.w.waiting.Done()
	}
}

// append seals a frame into the lane's pack.
func (l *lane) append(f *frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = l.seal(f)
	}
	return l.err
}

func (l *lane) seal(f *frame) error {
	stored, method := f.stored()
	limit := l.w.cfg.DataPack
	if l.class.name == manifest.Catalogue {
		limit = l.w.cfg.CataPack
	}
	p := l.pack
	if p != nil && (p.size+int64(len(stored)) > limit || p.frames == maxFrames || len(p.table.b) > maxTable/2) {
		if err := l.end(); err != nil {
			return err
		}
		p = nil
	}
	if p == nil {
		var err error
		if p, err = l.open(); err != nil {
			return err
		}
	}
	nonce, aad := place(p.header, p.frames)
	l.sealed = p.aead.Seal(l.sealed[:0], nonce[:], stored, aad[:])
	p.table.add(len(l.sealed), len(f.plain), method, f.chunks)
	p.frames++
	return p.write(l.sealed)
}

func (l *lane) open() (*openPack, error) {
	target, err := l.w.cfg.Create(l.class.name)
	if err != nil {
		return nil, err
	}
	p := &openPack{target: target, header: header(l.class.name), sha: sha256.New(), md5: md5.New(), crc: crc64nvme.New()}
	rand.Read(p.key[:])
	p.aead = newAEAD(p.key)
	l.pack = p
	return p, p.write(p.header[:])
}

func (p *openPack) write(b []byte) error {
	p.sha.Write(b)
	p.md5.Write(b)
	p.crc.Write(b)
	p.size += int64(len(b))
	_, err := p.target.Write(b)
	return err
}

// close ends the open pack, if any, and returns when all the lane's packs are durable.
func (l *lane) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = l.end()
	}
	if l.err == nil {
		l.err = l.settle()
	}
	return l.err
}

// end finishes the open pack's bytes and starts its commit, once there is room for it beside those under way.
// So a lane holds Config.Commits packs that are being committed at most, and the one being filled.
func (l *lane) end() error {
	p := l.pack
	if p == nil {
		return nil
	}
	tail, err := l.tail(p)
	if err == nil {
		err = p.write(tail)
	}
	if err != nil {
		return err
	}
	l.commits <- struct{}{}
	if err := l.w.err(); err != nil { // that of a pack before, maybe: nothing will list this one
		<-l.commits
		return err
	}
	l.pack = nil
	go func() {
		defer func() { <-l.commits }()
		if err := l.commit(p); err != nil {
			l.w.cancel(err) // now, and not when the next pack ends
		}
	}()
	return nil
}

// settle waits for the commits that are under way.
func (l *lane) settle() error {
	for range cap(l.commits) {
		l.commits <- struct{}{}
	}
	for range cap(l.commits) {
		<-l.commits
	}
	return l.w.err()
}

func (l *lane) commit(p *openPack) error {
	info := manifest.Pack{Class: l.class.name, Size: p.size, CRC64: p.crc.Sum64()}
	p.sha.Sum(info.Name[:0])
	p.md5.Sum(info.MD5[:0])
	if c, ok := p.target.(Carrier); ok {
		info.Disk = c.Disk()
	}
	if err := p.target.Commit(info); err != nil {
		return err
	}
	l.w.finish(Finished{Pack: info, Table: &p.table})
	return nil
}

// tail is what follows the frames: table, wraps, trailer.
func (l *lane) tail(p *openPack) ([]byte, error) {
	dataTable := tableKey(p.key)
	sealedTable := newAEAD(dataTable).Seal(nil, tableNonce[:], p.table.encode(p.frames), p.header[:])
	forMachine := p.key
	if l.class.name == manifest.Data {
		forMachine = dataTable
	}
	wrapR, err := wrap(p.key, l.w.cfg.Recovery)
	if err != nil {
		return nil, err
	}
	wrapM, err := wrap(forMachine, l.w.cfg.Machine)
	if err != nil {
		return nil, err
	}
	t := trailer{p.size, int64(len(sealedTable)), int64(len(wrapR)), int64(len(wrapM))}
	if total := p.size + t.tableLen + t.wrapR + t.wrapM + trailerSize; total > MaxPack {
		return nil, fmt.Errorf("a pack of %d bytes: the format's limit is %d; use a smaller pack size", total, int64(MaxPack))
	}
	return bytes.Join([][]byte{sealedTable, wrapR, wrapM, t.encode()}, nil), nil
}

func (l *lane) abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle() // its error is the writer's already
	if l.pack != nil {
		l.pack.target.Abort()
		l.pack = nil
	}
}

// wrap encrypts a key to a recipient, as a binary age file.
func wrap(key [32]byte, to age.Recipient) ([]byte, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err == nil {
		_, err = w.Write(key[:])
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("wrapping a pack's key: %w", err)
	}
	return b.Bytes(), nil
}
