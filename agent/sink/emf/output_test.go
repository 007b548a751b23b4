package emf_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink/emf"
)

func TestParseOutput(t *testing.T) {
	tests := []struct {
		text, endpoint string
		want           emf.Output
	}{
		{"stdout", "", emf.Output{Scheme: emf.SchemeStdout}},
		{"file:///var/log/enawatch/emf.log", "", emf.Output{Scheme: emf.SchemeFile, Address: "/var/log/enawatch/emf.log"}},
		{"file:///a%20b/%25%3F%23", "", emf.Output{Scheme: emf.SchemeFile, Address: "/a b/%?#"}},
		{"unix:///run/fluent-bit.sock", "", emf.Output{Scheme: emf.SchemeUnix, Address: "/run/fluent-bit.sock"}},
		{"tcp://127.0.0.1:25888", "", emf.Output{Scheme: emf.SchemeTCP, Address: "127.0.0.1:25888"}},
		{"tcp://cwagent.amazon-cloudwatch:25888", "", emf.Output{Scheme: emf.SchemeTCP, Address: "cwagent.amazon-cloudwatch:25888"}},
		{"udp://[fd00::1]:25888", "", emf.Output{Scheme: emf.SchemeUDP, Address: "[fd00::1]:25888"}},
		{"agent", "", emf.Output{Scheme: emf.SchemeTCP, Address: "127.0.0.1:25888"}},
		{"agent", "udp://10.0.0.1:1", emf.Output{Scheme: emf.SchemeUDP, Address: "10.0.0.1:1"}},
		{"agent", "unix:///s", emf.Output{Scheme: emf.SchemeUnix, Address: "/s"}},
		{"tcp://h:1", "udp://10.0.0.1:1", emf.Output{Scheme: emf.SchemeTCP, Address: "h:1"}},
		{"logs://ena/{host}", "", emf.Output{Scheme: emf.SchemeLogs, Group: "ena", Stream: "{host}"}},
		{"logs:///enawatch/emf/i-{instance_id} ü", "", emf.Output{Scheme: emf.SchemeLogs, Group: "/enawatch/emf", Stream: "i-{instance_id} ü"}},
		{"logs://a-_./#Z9/%41?x#y@z", "", emf.Output{Scheme: emf.SchemeLogs, Group: "a-_./#Z9", Stream: "%41?x#y@z"}},
	}
	for _, tt := range tests {
		got, err := emf.ParseOutput(tt.text, tt.endpoint)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestParseOutputRefuses(t *testing.T) {
	const secret = "hunter2"
	long := strings.Repeat("x", 513)
	tests := map[string][]string{
		"give stdout, agent, file:///PATH": {
			"", "stdout://", "stdout:///x", "stderr", "http://" + secret, "Agent", "FILE:///x", "tcp:", "/var/log/x",
		},
		"give file:///PATH": {
			"file://", "file:///", "file:///x/", "file://x/y", "file://localhost/x", "file:///x?y", "file:///x?", "file:///x#y", "file:///x#",
			"file:///%00", "file:///%zz", "file://u:" + secret + "@/x",
		},
		"give unix:///PATH": {"unix://", "unix:///", "unix://x"},
		"107 bytes at most": {"unix:///" + strings.Repeat("x", 107)},
		"give tcp://HOST:PORT": {
			"tcp://", "tcp://h", "tcp://:1", "tcp://h:0", "tcp://h:65536", "tcp://h:-1", "tcp://h:x", "tcp://h:1/", "tcp://h:1/x", "tcp://h:1?x", "tcp://h:1?",
			"tcp://h:1#x", "tcp://h:1#", "tcp://u:" + secret + "@h:1", "tcp://fe80::1:1", "tcp://[fe80::1%25eth0]:1", "tcp://h h:1", "tcp://ü:1", "tcp://%2F:1",
		},
		"give udp://HOST:PORT":    {"udp://h"},
		"give logs://GROUP/STREA": {"logs://", "logs://x", "logs://" + secret},
		"log group: the name": {
			"logs:///x", "logs://a b/x", "logs://ü/x", "logs://a:b/x", "logs://{Host}/x", "logs://" + long + "/x",
		},
		"log group: names that": {"logs://aws/ena/x"},
		"log stream: the name": {
			"logs://a/", "logs://a/x:y", "logs://a/*", "logs://a/{instance}", "logs://a/x}", "logs://a/\x00", "logs://a/\xff", "logs://a/" + long,
		},
	}
	for want, texts := range tests {
		for _, text := range texts {
			got, err := emf.ParseOutput(text, "")
			if err == nil || !strings.HasPrefix(err.Error(), want) && !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), secret) {
				t.Errorf("%.80q: error %v, want %q", text, err, want)
			}
			if got != (emf.Output{}) {
				t.Errorf("%.80q: %+v beside an error", text, got)
			}
		}
	}
	for _, endpoint := range []string{"127.0.0.1:25888", "agent", "stdout", "file:///x", "logs://a/b", "https://u:" + secret + "@h:1", "tcp://u:" + secret + "@h:1"} {
		_, err := emf.ParseOutput("agent", endpoint)
		if err == nil || !strings.HasPrefix(err.Error(), "AWS_EMF_AGENT_ENDPOINT: give ") || strings.Contains(err.Error(), secret) {
			t.Errorf("endpoint %q: error %v", endpoint, err)
		}
	}
}

// FuzzParseOutput: whatever is accepted is written as it can be read again, and
// has what its scheme needs.
func FuzzParseOutput(f *testing.F) {
	for _, s := range []string{
		"stdout", "agent", "file:///var/log/x", "file:///%25%3f", "tcp://h:1", "udp://[::1]:25888", "unix:///s", "logs://a/b", "logs:///a/b/{host}",
		"tcp://[::1%25x]:1", "file://h/x", "logs://{host}/{instance_id}", "tcp://a%2fb:1",
	} {
		f.Add(s, "tcp://127.0.0.1:25888")
	}
	f.Fuzz(func(t *testing.T, text, endpoint string) {
		o, err := emf.ParseOutput(text, endpoint)
		if err != nil {
			if o != (emf.Output{}) {
				t.Errorf("%+v beside an error", o)
			}
			return
		}
		again, err := emf.ParseOutput(o.String(), "")
		if err != nil || again != o {
			t.Fatalf("%+v as %q: %+v, %v", o, o, again, err)
		}
		switch o.Scheme {
		case emf.SchemeStdout:
		case emf.SchemeLogs:
			if o.Group == "" || o.Stream == "" {
				t.Errorf("%+v", o)
			}
		default:
			if _, err := emf.New(emf.Options{Output: o, Namespace: "ENA", Interval: time.Minute}); err != nil {
				t.Errorf("%+v: %v", o, err)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for want, change := range map[string]func(*emf.Options){
		"namespace":                         func(o *emf.Options) { o.Namespace = "AWS/ENA" },
		`EMF shape "x"`:                     func(o *emf.Options) { o.Shape = "x" },
		"log group: the name":               func(o *emf.Options) { o.Output.Scheme, o.LogGroup = emf.SchemeTCP, "a b" },
		"log stream: the name":              func(o *emf.Options) { o.Output.Scheme, o.LogStream = emf.SchemeUDP, "*" },
		"the output stdout has no spool":    func(o *emf.Options) { o.Output = emf.Output{Scheme: emf.SchemeStdout} },
		"file mode 0200":                    func(o *emf.Options) { o.File.Mode = 0o200 },
		"file mode 04600":                   func(o *emf.Options) { o.File.Mode = 0o4600 },
		"rotation at -1 MiB: give a positi": func(o *emf.Options) { o.File.RotateMiB = -1 },
		"rotation after -1s: give a positi": func(o *emf.Options) { o.File.RotateAge = -time.Second },
		"-1 rotated files to keep: give a ": func(o *emf.Options) { o.File.Keep = -1 },
	} {
		o := emf.Options{Output: emf.Output{Scheme: emf.SchemeFile, Address: "/x"}, Namespace: "ENA", Interval: time.Minute}
		change(&o)
		s, err := emf.New(o)
		if s != nil || err == nil || !strings.HasPrefix(err.Error(), "emf sink: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, error %v, want %q", s, err, want)
		}
	}
}
