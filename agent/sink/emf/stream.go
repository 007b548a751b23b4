package emf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/enawatch/enawatch/agent/sink"
)

const (
	// dialTimeout is how long it may take to reach a receiver.
	dialTimeout = 5 * time.Second
	// readTimeout is how long a receiver may take to read a request.
	readTimeout = 10 * time.Second
)

// Stream sends documents over TCP or a Unix socket to a receiver of lines, as
// the CloudWatch agent and Fluent Bit are.
//
// Nothing in such a stream says what became of it, and what was written to a
// socket may never be read. So each request has a connection of its own, of
// which the agent closes its side after the last line: a receiver that then
// closes the other side in order has read all of it, because the kernel resets
// the connection if something was left. The CloudWatch agent (its tcplog
// receiver hands on each line before it reads the next) and Fluent Bit (in_tcp)
// do so. Whether the receiver published what it read, nobody learns here.
//
// A receiver that keeps the connection open is taken at its word that it is one
// of that kind, until it has once closed one: from then on, that it does not is
// a failure, and the request is sent again.
type Stream struct {
	*packer
	network, address string
	log              *slog.Logger
	timeout          time.Duration
	// confirms is true once the receiver has closed a connection; silent once
	// it was said that it does not.
	confirms, silent bool
}

func newStream(p *packer, o Options) (*Stream, error) {
	if err := p.forAgent(o); err != nil {
		return nil, err
	}
	return &Stream{
		packer: p, network: string(o.Output.Scheme), address: o.Output.Address,
		log: o.Log.With("sink", p.Name()), timeout: readTimeout,
	}, nil
}

// Deliver sends one request. An error is a *sink.Error, ambiguous if any byte
// was sent.
func (s *Stream) Deliver(ctx context.Context, data []byte) error {
	if err := whole(data); err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, s.network, s.address)
	if err != nil {
		return s.fail(err, false)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(s.timeout)); err != nil {
		return s.fail(err, false)
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if n, err := conn.Write(data); err != nil {
		return s.fail(err, n > 0)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return s.fail(err, true)
	}
	return s.await(ctx, conn)
}

// await returns nil once the receiver has closed the connection.
func (s *Stream) await(ctx context.Context, conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	switch {
	case ctx.Err() != nil:
		return s.fail(context.Cause(ctx), true)
	case err == nil:
		s.confirms = true
		return nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return s.fail(err, true)
	case s.confirms:
		return s.fail(fmt.Errorf("the receiver has not read the request within %v", s.timeout), true)
	}
	if !s.silent {
		s.silent = true
		s.log.Warn("the receiver of EMF keeps connections open: whether it reads what it gets can't be known", "receiver", s.address)
	}
	return nil
}

func (s *Stream) fail(err error, ambiguous bool) *sink.Error {
	return failure(s.network, s.address, err, ambiguous)
}

// failure says what an error of the network means. Its text has nothing in it
// that differs from one attempt to the next, as the local port does.
func failure(network, address string, err error, ambiguous bool) *sink.Error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		err = errors.New("no answer in time")
	case ambiguous && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN)):
		err = errors.New("the receiver went away before it had read the request")
	}
	return &sink.Error{
		Kind: sink.Transient, Ambiguous: ambiguous,
		Err:    fmt.Errorf("send EMF to %s %s: %w", network, address, err),
		Remedy: "look at the receiver, the CloudWatch agent or Fluent Bit, and at the output of the emf sink",
	}
}
