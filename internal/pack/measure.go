package pack

import "waybill/manifest"

// A Meter tells how much of a pack content would take, without making one: it compresses as a [Writer] does, with the same probe for what
// doesn't compress. It is not safe for concurrent use.
type Meter struct {
	codec *codec
	level Level
	frame frame
	line  Table
}

// PackOverhead is about how many bytes a pack has beside its frames and their lines in its table: header, trailer, wrapped keys.
const PackOverhead = headerSize + trailerSize + tagSize + 2*232

// FrameSize is how much plain content of a class a full frame holds.
func FrameSize(class manifest.Class) int {
	if class == manifest.Catalogue {
		return cataFrame
	}
	return dataFrame
}

// NewMeter returns a meter for a level of compression. Auto counts as Fastest, where a writer begins.
func NewMeter(l Level) *Meter {
	if l == Auto {
		l = Fastest
	}
	return &Meter{codec: newCodec(), level: l}
}

// Frame returns how many bytes a frame of that content takes in a pack, with the line that the table has for it and its chunks.
func (m *Meter) Frame(plain []byte, chunks []Chunk) (int64, error) {
	if len(plain) == 0 {
		return 0, nil
	}
	m.frame.plain = plain
	err := m.codec.compress(&m.frame, m.level)
	stored, method := m.frame.stored()
	m.frame.plain = nil
	if err != nil {
		return 0, err
	}
	m.line.b = m.line.b[:0]
	m.line.add(len(stored)+tagSize, len(plain), method, chunks)
	return int64(len(stored) + tagSize + len(m.line.b)), nil
}
