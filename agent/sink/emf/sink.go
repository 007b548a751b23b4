package emf

import (
	"fmt"
	"io"

	"github.com/enawatch/enawatch/agent/metric"
)

// Sink writes the documents of each batch to an io.Writer, such as standard
// output. It is not safe for concurrent use.
type Sink struct {
	enc *Encoder
	w   io.Writer
	buf []byte
	// torn is true if the last thing written is a part of a line.
	torn bool
}

// NewSink returns a sink that writes what enc encodes to w.
func NewSink(w io.Writer, enc *Encoder) *Sink { return &Sink{enc: enc, w: w} }

// Publish writes the documents of b, all in one call of Write, and returns when
// that does: it can block as long as the reader of a pipe does. After an error
// of the writer some of the lines may have been written, so that to publish b
// again can repeat them; the next line is whole in any case.
func (s *Sink) Publish(b *metric.Batch) error {
	s.buf = s.buf[:0]
	if s.torn {
		s.buf = append(s.buf, '\n')
	}
	before := len(s.buf)
	var err error
	if s.buf, err = s.enc.Append(s.buf, b); err != nil {
		return err
	}
	if len(s.buf) == before {
		return nil
	}
	n, err := s.w.Write(s.buf)
	if n > 0 {
		s.torn = s.buf[n-1] != '\n'
	}
	if err != nil {
		return fmt.Errorf("write EMF: %w", err)
	}
	return nil
}
