package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// EncodeDocument writes a JSON document as FORMAT.md wants it: one line, nothing escaped that need not be.
func EncodeDocument(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return b.Bytes(), nil
}

// ParseDocument reads a JSON object of at most limit bytes whose member "format" is the given one into v.
// Members that v lacks are for newer readers; what two readers could understand differently is
// refused, such as a member that occurs twice. It fails with ErrFormat.
func ParseDocument(b []byte, limit int, format string, v any) error {
	if err := parseDocument(b, limit, format, v); err != nil {
		return fmt.Errorf("%s: %w: %w", format, ErrFormat, err)
	}
	return nil
}

func parseDocument(b []byte, limit int, format string, v any) error {
	if len(b) > limit {
		return fmt.Errorf("%d bytes, it may have %d", len(b), limit)
	}
	if err := unambiguous(b); err != nil {
		return err
	}
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	if head.Format != format {
		return fmt.Errorf("it says it is %.80q; a newer version of this program may know that", head.Format)
	}
	return json.Unmarshal(b, v)
}

// maxDepth is how deep objects and arrays may be nested.
const maxDepth = 8

// unambiguous refuses JSON that is not UTF-8, that has a name twice in one object, or
// names that differ from ours by case only, which encoding/json would take for ours.
func unambiguous(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := unambiguousValue(d, maxDepth); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the document")
	}
	return nil
}

func unambiguousValue(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	var names map[string]bool
	switch t {
	case json.Delim('{'):
		names = map[string]bool{}
	case json.Delim('['):
	default:
		return nil
	}
	if depth == 0 {
		return errors.New("nested too deeply")
	}
	for d.More() {
		if names != nil {
			if err := newName(d, names); err != nil {
				return err
			}
		}
		if err := unambiguousValue(d, depth-1); err != nil {
			return err
		}
	}
	_, err = d.Token() // the closing bracket
	return err
}

func newName(d *json.Decoder, names map[string]bool) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	name, _ := t.(string) // the decoder lets nothing else stand here
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return fmt.Errorf("the member %.80q", name)
		}
	}
	if names[name] {
		return fmt.Errorf("the member %.80q occurs twice", name)
	}
	names[name] = true
	return nil
}
