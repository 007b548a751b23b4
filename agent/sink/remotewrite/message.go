package remotewrite

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/wire"
)

// message is what one request carries.
type message struct {
	at     int64 // of every sample, ms since 1970
	series []*series
}

// Fields of io.prometheus.write.v2 (types.proto of Prometheus).
const (
	v2Symbols    = 4 // Request
	v2Series     = 5
	v2LabelRefs  = 1 // TimeSeries
	v2Samples    = 2
	v2Metadata   = 5
	sampleValue  = 1 // Sample, the same in 1.0
	sampleTime   = 2
	v2MetaType   = 1 // Metadata
	v2MetaHelp   = 3
	v2MetaUnit   = 4
	maxPlain     = 16 << 20 // bytes of a message
	maxSymbols   = 1 << 20
	maxLabelRefs = 1 << 10
)

// Fields of prometheus.WriteRequest (remote.proto and types.proto of
// Prometheus).
const (
	v1Series     = 1 // WriteRequest
	v1Metadata   = 3
	v1Labels     = 1 // TimeSeries
	v1Samples    = 2
	v1LabelName  = 1 // Label
	v1LabelValue = 2
	v1MetaType   = 1 // MetricMetadata
	v1MetaFamily = 2
	v1MetaHelp   = 4
	v1MetaUnit   = 5
)

// encode returns the request that carries one sample of each series: a message
// of remote write 2.0, compressed, as it waits in the spool.
func encode(at int64, list []*series) sink.Request {
	symbols := map[string]uint64{"": 0}
	var table, body []byte
	table = wire.AppendBytes(table, v2Symbols, "")
	symbol := func(s string) uint64 {
		n, ok := symbols[s]
		if !ok {
			n = uint64(len(symbols))
			symbols[s] = n
			table = wire.AppendBytes(table, v2Symbols, s)
		}
		return n
	}
	for _, s := range list {
		var refs, meta []byte
		for _, l := range s.labels {
			refs = protowire.AppendVarint(refs, symbol(l.name))
			refs = protowire.AppendVarint(refs, symbol(l.value))
		}
		meta = wire.AppendVarint(meta, v2MetaType, s.kind)
		meta = wire.AppendVarint(meta, v2MetaHelp, symbol(s.help))
		meta = wire.AppendVarint(meta, v2MetaUnit, symbol(s.unit))
		one := wire.AppendBytes(nil, v2LabelRefs, refs)
		one = wire.AppendBytes(one, v2Samples, sample(at, s.value))
		one = wire.AppendBytes(one, v2Metadata, meta)
		body = wire.AppendBytes(body, v2Series, one)
	}
	return sink.Request{Data: snappy.Encode(nil, append(table, body...)), Points: len(list)}
}

func sample(at int64, value float64) []byte {
	return wire.AppendVarint(wire.AppendDouble(nil, sampleValue, value), sampleTime, uint64(at))
}

// describeEvery is how often the metadata of a family are sent by remote write
// 1.0: as often as Prometheus does.
const describeEvery = time.Minute

// v1 returns the message as remote write 1.0, compressed, with the metadata of
// the families for which describe returns true.
func (m *message) v1(describe func(family string) bool) []byte {
	var body, meta []byte
	for _, s := range m.series {
		var one []byte
		for _, l := range s.labels {
			var pair []byte
			pair = wire.AppendBytes(pair, v1LabelName, l.name)
			pair = wire.AppendBytes(pair, v1LabelValue, l.value)
			one = wire.AppendBytes(one, v1Labels, pair)
		}
		one = wire.AppendBytes(one, v1Samples, sample(m.at, s.value))
		body = wire.AppendBytes(body, v1Series, one)
		if name := s.name(); describe(name) {
			family := wire.AppendVarint(nil, v1MetaType, s.kind)
			family = wire.AppendBytes(family, v1MetaFamily, name)
			family = wire.AppendBytes(family, v1MetaHelp, s.help)
			if s.unit != "" {
				family = wire.AppendBytes(family, v1MetaUnit, s.unit)
			}
			meta = wire.AppendBytes(meta, v1Metadata, family)
		}
	}
	return snappy.Encode(nil, append(body, meta...))
}

// errForeign says that what waits in the spool is no message of this package.
var errForeign = errors.New("the request is damaged, or of another version of enawatch")

// decode reads what encode wrote.
func decode(data []byte) (*message, error) {
	if n, err := snappy.DecodedLen(data); err != nil || n > maxPlain {
		return nil, errForeign
	}
	plain, err := snappy.Decode(nil, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	}
	d := decoder{}
	if err := wire.Fields(plain, d.request); err != nil {
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	}
	if len(d.m.series) == 0 {
		return nil, fmt.Errorf("%w: there is no series in it", errForeign)
	}
	return &d.m, nil
}

// decoder reads one message. Symbols come before what refers to them.
type decoder struct {
	m       message
	symbols []string
}

func (d *decoder) request(field protowire.Number, _ uint64, b []byte) error {
	switch field {
	case v2Symbols:
		if len(d.symbols) == maxSymbols {
			return errors.New("too many symbols")
		}
		d.symbols = append(d.symbols, string(b))
	case v2Series:
		s := &series{}
		if err := wire.Fields(b, func(field protowire.Number, _ uint64, b []byte) error { return d.one(s, field, b) }); err != nil {
			return err
		}
		if s.name() == "" {
			return errors.New("a series has no name")
		}
		d.m.series = append(d.m.series, s)
	}
	return nil
}

func (d *decoder) one(s *series, field protowire.Number, b []byte) error {
	switch field {
	case v2LabelRefs:
		return d.labels(s, b)
	case v2Samples:
		return wire.Fields(b, func(field protowire.Number, n uint64, _ []byte) error {
			switch field {
			case sampleValue:
				s.value = math.Float64frombits(n)
			case sampleTime:
				d.m.at = int64(n)
			}
			return nil
		})
	case v2Metadata:
		return wire.Fields(b, func(field protowire.Number, n uint64, _ []byte) (err error) {
			switch field {
			case v2MetaType:
				s.kind = n
			case v2MetaHelp:
				s.help, err = d.symbol(n)
			case v2MetaUnit:
				s.unit, err = d.symbol(n)
			}
			return err
		})
	}
	return nil
}

func (d *decoder) labels(s *series, b []byte) error {
	var words []string
	for len(b) > 0 && len(words) < maxLabelRefs {
		n, size := protowire.ConsumeVarint(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		word, err := d.symbol(n)
		if err != nil {
			return err
		}
		words = append(words, word)
	}
	if len(b) > 0 || len(words)%2 != 0 {
		return errors.New("the labels of a series are too many, or no pairs")
	}
	for i := 0; i < len(words); i += 2 {
		s.labels = append(s.labels, label{words[i], words[i+1]})
	}
	return nil
}

func (d *decoder) symbol(n uint64) (string, error) {
	if n >= uint64(len(d.symbols)) {
		return "", errors.New("a symbol is missing")
	}
	return d.symbols[n], nil
}
