package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// content is what one request sends of a body. It reads the body to its very end before it hands out the last byte: a body that finds only
// there that it is damaged breaks the request off, and nothing gets stored.
//
// The transport may go on reading after its answer has come. Once closed, content lets nobody near the body any more.
type content struct {
	ctx   context.Context
	body  io.ReadSeeker
	whole []byte // if it is set, it is the content, and there is no body
	start int64  // where the body begins
	size  int64

	mu     sync.Mutex
	buf    []byte
	ahead  []byte // of buf, what was read of the body and not handed out
	read   int64  // of the body
	closed bool
	err    error // what was wrong with the body
}

// readSize is how much of a body is read at once: it may itself be far away.
const readSize = 1 << 20

// errClosed is for a transport that reads on; nobody sees it.
var errClosed = errors.New("the request is over")

// newContent measures what a body holds from where it is.
func newContent(ctx context.Context, body io.ReadSeeker) (*content, error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	end, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	c := &content{ctx: ctx, body: body, start: start, size: end - start}
	_, err = c.Seek(0, io.SeekStart)
	return c, err
}

// newBlock is content that is in memory.
func newBlock(ctx context.Context, block []byte) *content {
	return &content{ctx: ctx, whole: block, size: int64(len(block))}
}

// again is the same content, from its beginning, for another request. Of the two, the first is closed.
func (c *content) again() (*content, error) {
	c.Close()
	next := &content{ctx: c.ctx, body: c.body, whole: c.whole, start: c.start, size: c.size, buf: c.buf}
	_, err := next.Seek(0, io.SeekStart)
	return next, err
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, errClosed
	case c.err == nil && len(c.ahead) == 0:
		c.err = c.fill()
	}
	if c.err != nil {
		return 0, c.err
	}
	if len(c.ahead) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// fill reads a piece of the body; the last piece only with what comes after it, which must be the end.
func (c *content) fill() error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	left := c.size - c.read
	if left == 0 && c.read > 0 {
		return nil
	}
	if c.whole != nil {
		c.ahead, c.read = c.whole, c.size
		return nil
	}
	if c.buf == nil {
		c.buf = make([]byte, min(left, readSize))
	}
	piece := c.buf[:min(left, int64(len(c.buf)))]
	n, err := io.ReadFull(c.body, piece)
	c.read += int64(n)
	switch {
	case len(piece) > 0 && (err == io.EOF || err == io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends at byte %d of %d", c.read, c.size)
	case err != nil:
		return err
	case int64(n) == left:
		if n, err := c.body.Read(make([]byte, 1)); n > 0 || err == nil {
			return fmt.Errorf("it goes on after byte %d", c.size)
		} else if err != io.EOF {
			return err
		}
	}
	c.ahead = piece
	return c.ctx.Err()
}

// Seek implements io.Seeker. The body moves only to its beginning: for its size, it was asked before.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.read - int64(len(c.ahead))
	switch {
	case whence == io.SeekCurrent && offset == 0:
		return at, nil
	case whence == io.SeekEnd && offset == 0:
		return c.size, nil
	case whence != io.SeekStart || offset != 0:
		return at, fmt.Errorf("seeking to %d", offset)
	}
	if c.closed || c.err != nil {
		return 0, errors.Join(c.err, errClosed)
	}
	c.read, c.ahead = 0, nil
	if c.whole != nil {
		return 0, nil
	}
	_, err := c.body.Seek(c.start, io.SeekStart)
	return 0, err
}

// Close ends all reading of the body.
func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

// failure is what was wrong with the body, and made the request fail with whatever it did.
func (c *content) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return bodyError{c.err}
	}
	return nil
}
