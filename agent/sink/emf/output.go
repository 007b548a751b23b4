package emf

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/sink"
)

// Scheme is the kind of an Output.
type Scheme string

// Schemes, as an output's text begins with them.
const (
	SchemeStdout Scheme = "stdout"
	SchemeFile   Scheme = "file"
	SchemeTCP    Scheme = "tcp"
	SchemeUDP    Scheme = "udp"
	SchemeUnix   Scheme = "unix"
	SchemeLogs   Scheme = "logs"
)

const (
	// agentOutput asks for the endpoint that AWS' EMF libraries use.
	agentOutput = "agent"
	// agentEndpoint is where the CloudWatch agent listens unless told otherwise.
	agentEndpoint = "tcp://127.0.0.1:25888"
	// maxSocketPath is what fits sockaddr_un, in bytes (unix(7)).
	maxSocketPath = 107
)

// Output is where documents go.
type Output struct {
	Scheme Scheme
	// Address is the path of a file or socket, or host:port.
	Address string
	// Group and Stream are those of CloudWatch Logs, with placeholders.
	Group, Stream string
}

// ParseOutput reads an output as it is configured:
//
//	stdout               standard output, for NewSink
//	file:///PATH         a file
//	tcp://HOST:PORT      a listener of the CloudWatch agent or Fluent Bit
//	udp://HOST:PORT
//	unix:///PATH         a stream socket
//	agent                what endpoint says (AWS_EMF_AGENT_ENDPOINT), tcp://127.0.0.1:25888 if it is ""
//	logs://GROUP/STREAM  CloudWatch Logs; what follows the last slash is the stream
//
// In GROUP and STREAM, {instance_id} and {host} stand for the host's own; the
// first for the second, too, while it is not known. Errors do not repeat the
// text, which may hold a password where none belongs.
func ParseOutput(text, endpoint string) (Output, error) {
	if text != agentOutput {
		return parseOutput(text)
	}
	o, err := parseOutput(cmp.Or(endpoint, agentEndpoint))
	switch {
	case err != nil:
	case o.Scheme == SchemeTCP, o.Scheme == SchemeUDP, o.Scheme == SchemeUnix:
		return o, nil
	default:
		err = errors.New("give tcp://HOST:PORT or udp://HOST:PORT")
	}
	return Output{}, fmt.Errorf("AWS_EMF_AGENT_ENDPOINT: %w", err)
}

func parseOutput(text string) (Output, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	switch Scheme(scheme) {
	case SchemeStdout:
		if text == scheme {
			return Output{Scheme: SchemeStdout}, nil
		}
	case SchemeLogs:
		return parseLogs(rest)
	case SchemeFile, SchemeUnix:
		return parsePath(Scheme(scheme), text)
	case SchemeTCP, SchemeUDP:
		return parseAddress(Scheme(scheme), text)
	}
	return Output{}, errors.New("give stdout, agent, file:///PATH, tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH or logs://GROUP/STREAM")
}

// String returns a text that ParseOutput reads as o.
func (o Output) String() string {
	switch o.Scheme {
	case SchemeStdout:
		return string(o.Scheme)
	case SchemeLogs:
		return "logs://" + o.Group + "/" + o.Stream
	case SchemeFile, SchemeUnix:
		return (&url.URL{Scheme: string(o.Scheme), Path: o.Address}).String()
	}
	return string(o.Scheme) + "://" + o.Address
}

func parsePath(scheme Scheme, text string) (Output, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		return Output{}, fmt.Errorf("give %s:///PATH, with three slashes; write %% as %%25, ? as %%3F and # as %%23", scheme)
	case strings.HasSuffix(u.Path, "/") || strings.ContainsRune(u.Path, 0) || !filepath.IsAbs(u.Path):
		return Output{}, fmt.Errorf("give %s:///PATH, which must not end with a slash or have NUL characters", scheme)
	case scheme == SchemeUnix && len(u.Path) > maxSocketPath:
		return Output{}, fmt.Errorf("the path of a socket has %d bytes at most", maxSocketPath)
	}
	return Output{Scheme: scheme, Address: u.Path}, nil
}

func parseAddress(scheme Scheme, text string) (Output, error) {
	bad := fmt.Errorf("give %s://HOST:PORT, as %[1]s://127.0.0.1:25888, and nothing else", scheme)
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#") {
		return Output{}, bad
	}
	host := u.Hostname()
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 || host == "" || strings.ContainsFunc(host, unprintable) || strings.ContainsAny(host, " %/?#@[]") {
		return Output{}, bad
	}
	if strings.Contains(host, ":") && u.Host[0] != '[' {
		return Output{}, bad
	}
	return Output{Scheme: scheme, Address: net.JoinHostPort(host, strconv.FormatUint(port, 10))}, nil
}

func parseLogs(rest string) (Output, error) {
	slash := strings.LastIndexByte(rest, '/')
	if slash < 0 {
		return Output{}, errors.New("give logs://GROUP/STREAM, as logs:///enawatch/emf/{instance_id} for the group /enawatch/emf")
	}
	group, stream := rest[:slash], rest[slash+1:]
	if err := checkPlace(group, stream); err != nil {
		return Output{}, err
	}
	return Output{Scheme: SchemeLogs, Group: group, Stream: stream}, nil
}

// Options configure a sink. Output and Namespace are required.
type Options struct {
	Output Output
	// Namespace and Interval are those of NewEncoder.
	Namespace string
	Interval  time.Duration
	// Shape is PerHost if it is "".
	Shape Shape
	// LogGroup and LogStream, with placeholders, tell the CloudWatch agent behind
	// tcp, udp and unix where to write the documents to: "/enawatch/emf" and
	// "{instance_id}" if they are "".
	LogGroup, LogStream string
	File                FileOptions
	Logs                LogsOptions
	// Log is told what must be said once; nil is silence.
	Log *slog.Logger
}

// FileOptions say how a file is made and rotated.
type FileOptions struct {
	// Mode is that of new files, 0600 if it is 0.
	Mode fs.FileMode
	// RotateMiB is how large the file may become, in MiB; 0 is without bound.
	RotateMiB int
	// RotateAge makes a new file begin at each multiple of it since 1970, UTC;
	// 0 is never. No line is in the file for longer.
	RotateAge time.Duration
	// Keep is how many rotated files are kept, as PATH.1 to PATH.n; 3 if 0.
	Keep int
}

// Defaults.
const (
	DefaultLogGroup  = "/enawatch/emf"
	DefaultLogStream = "{instance_id}"
	DefaultMode      = 0o600
	DefaultKeep      = 3
)

// New returns the sink of an output: a *File, *Stream, *Datagram or *Logs. It
// talks to nobody yet. The error says which option can't be used.
func New(o Options) (sink.Sink, error) {
	s, err := newSink(o)
	if err != nil {
		return nil, fmt.Errorf("emf sink: %w", err)
	}
	return s, nil
}

func newSink(o Options) (sink.Sink, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p, err := newPacker(o)
	if err != nil {
		return nil, err
	}
	switch o.Output.Scheme {
	case SchemeFile:
		return newFile(p, o)
	case SchemeTCP, SchemeUnix:
		return newStream(p, o)
	case SchemeUDP:
		return newDatagram(p, o)
	case SchemeLogs:
		return newLogs(p, o)
	}
	return nil, fmt.Errorf("the output %s has no spool", o.Output.Scheme)
}
