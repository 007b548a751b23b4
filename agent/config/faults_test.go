package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const emf = "\nsinks: {emf: }\n"

// entries returns n dimensions in YAML's flow style.
func entries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "D%d: v, ", i)
	}
	return "dimensions: {" + b.String() + "}" + emf
}

// faultTests has a case for every message; want is the whole error.
var faultTests = []struct {
	name    string
	file    string // not read if ""
	environ []string
	args    []string
	want    []string
}{
	// What the file is made of.
	{name: "no file at all is no fault"},
	{name: "empty file", file: " ", want: []string{
		`f.yaml: sinks: no sink is on, so nothing would be published: write "sinks: {emf: {}}" or set --sinks.emf`}},
	{name: "no sinks", file: "zeros: dense\nsinks:\n", want: []string{
		`f.yaml:2: sinks: no sink is on, so nothing would be published: write "sinks: {emf: {}}" or set --sinks.emf`}},
	{name: "all sinks off", args: []string{"--sinks.emf=false", "--sinks.prometheus=false"}, want: []string{
		`sinks: no sink is on, so nothing would be published: write "sinks: {emf: {}}" or set --sinks.emf`}},
	{name: "a list", file: "- a\n- b\n", want: []string{`f.yaml:1: wants keys below it, or {}, not a list`}},
	{name: "a word", file: "enawatch", want: []string{`f.yaml:1: wants keys below it, or {}, not "enawatch"`}},
	{name: "two documents", file: "zeros: dense" + emf + "---\nzeros: x", want: []string{`f.yaml:3: a second YAML document begins here: keep one`}},
	{name: "not UTF-8", file: "zeros: dense\nstate_dir: \xff\n", want: []string{`f.yaml:2: not UTF-8 text, or a control character in it`}},
	{name: "control character", file: "\x00", want: []string{`f.yaml:1: not UTF-8 text, or a control character in it`}},
	{name: "not a character", file: "zeros: \uffff", want: []string{`f.yaml:1: not UTF-8 text, or a control character in it`}},
	{name: "YAML scanner", file: "zeros: dense\n log: x", want: []string{`f.yaml:2: bad YAML: mapping values are not allowed in this context`}},
	{name: "YAML scanner, first line", file: "zeros: a: b", want: []string{`f.yaml:1: bad YAML: mapping values are not allowed in this context`}},
	{name: "YAML parser", file: "zeros: dense\nlog: {level: info\n", want: []string{`f.yaml:2: bad YAML: did not find expected ',' or '}'`}},
	{name: "YAML parser, last line", file: "[[[", want: []string{`f.yaml:1: bad YAML: did not find expected node content`}},
	{name: "tab", file: "log:\n\tlevel: info", want: []string{`f.yaml:2: bad YAML: found character that cannot start any token`}},
	{name: "bare glob", file: "interfaces:\n  include: [*]", want: []string{
		`f.yaml:2: bad YAML: did not find expected alphabetic or numeric character: globs need quotes, as in "*"`}},
	{name: "bare glob with letters", file: "interfaces:\n  include: [*eth]", want: []string{
		`f.yaml:2: bad YAML: unknown anchor "eth": globs need quotes, as in "*"`}},
	{name: "bad YAML in a second document", file: "zeros: x\n---\n{", want: []string{
		`f.yaml:1: zeros: "x" is not known: write sparse or dense`, `f.yaml:3: bad YAML: did not find expected node content`}},

	{name: "retention that CloudWatch Logs does not have", file: "sinks: {emf: {retention_days: 31}}", want: []string{
		`f.yaml:1: sinks.emf.retention_days: CloudWatch Logs does not keep events for 31 days: write one of 1 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653`}},
	{name: "mode without the owner", file: "sinks: {emf: {mode: 0440}}", want: []string{
		`f.yaml:1: sinks.emf.mode: "0440" is no mode of a file: write octal digits that let the owner read and write, such as 0600 or 0640`}},
	{name: "mode that is no mode", file: "sinks: {emf: {mode: rw-r}}", want: []string{
		`f.yaml:1: sinks.emf.mode: "rw-r" is no mode of a file: write octal digits that let the owner read and write, such as 0600 or 0640`}},

	// Secrets.
	{name: "no header", file: "sinks: {otlp: {headers: {\"Authorization Bearer hush\": hush}}}", want: []string{
		`f.yaml:1: sinks.otlp.headers: has a name that no header can have: write letters, digits and -`}},
	{name: "a header without a name", file: "sinks: {otlp: {headers: hush}}", want: []string{`f.yaml:1: sinks.otlp.headers: wants names and values below it`}},
	{name: "a header that does not print", file: "sinks: {otlp: {headers: {X-Key: \"hush\\n\"}}}", want: []string{
		`f.yaml:1: sinks.otlp.headers: has a character that does not print: remove it`}},
	{name: "a header that is not ASCII", file: "sinks: {otlp: {headers: {X-Key: hüsh}}}", want: []string{
		`f.yaml:1: sinks.otlp.headers: the value of "X-Key" is not ASCII: a header takes no other characters`}},
	{name: "a header in the environment", file: emf, environ: []string{"ENAWATCH_SINKS_OTLP_HEADERS=Bearer hush"}, want: []string{
		`ENAWATCH_SINKS_OTLP_HEADERS: has a name that no header can have: write letters, digits and -`}},

	// Keys.
	{name: "unknown key", file: "sample_intervall: 1s" + emf, want: []string{`f.yaml:1: sample_intervall: unknown key: did you mean sample_interval?`}},
	{name: "unknown key, in other spelling", file: "Sample-Interval: 1s" + emf, want: []string{`f.yaml:1: Sample-Interval: unknown key: did you mean sample_interval?`}},
	{name: "unknown key, known elsewhere", file: "listen: :80" + emf, want: []string{`f.yaml:1: listen: unknown key: did you mean sinks.prometheus.listen?`}},
	{name: "unknown key, far from any", file: "log: {colour: red}" + emf, want: []string{`f.yaml:1: log.colour: unknown key: known here are level, format`}},
	{name: "unknown sink", file: "sinks: {statsd: }", want: []string{`f.yaml:1: sinks.statsd: unknown key: known here are cloudwatch, emf, kubernetes, otlp, remote_write, prometheus`}},
	{name: "remote write to nowhere", file: "sinks: {remote_write: }", want: []string{`f.yaml:1: sinks.remote_write.url: is empty: write where to push, such as https://HOST/api/v1/write`}},
	{name: "remote write with a password in its URL", file: "sinks: {remote_write: {url: 'https://me:s3cret@host/'}}", want: []string{`f.yaml:1: sinks.remote_write.url: holds a password: write it as username and password_file`}},
	{name: "remote write to no URL", file: "sinks: {remote_write: {url: 'host:9090'}}", want: []string{`f.yaml:1: sinks.remote_write.url: is no URL: write one such as https://HOST/api/v1/write`}},
	{name: "credentials of another kind", file: "sinks:\n  remote_write:\n    url: http://host/\n    bearer_token: s3cret", want: []string{
		`f.yaml:4: sinks.remote_write.bearer_token: is only for auth: bearer, and that is auto: change auth, or remove this`}},
	{name: "a secret that does not print", file: "sinks: {remote_write: {url: http://host/, auth: bearer, bearer_token: \"s3\\ncret\"}}", want: []string{
		`f.yaml:1: sinks.remote_write.bearer_token: has a character that does not print: remove it`}},
	{name: "basic without password", file: "sinks: {remote_write: {url: http://host/, auth: basic, username: me}}", want: []string{`f.yaml:1: sinks.remote_write.auth: basic needs username, and either password_file or password`}},
	{name: "bearer without token", file: "sinks: {remote_write: {url: http://host/, auth: bearer}}", want: []string{`f.yaml:1: sinks.remote_write.auth: bearer needs either bearer_token_file or bearer_token`}},
	{name: "a certificate without key", file: "sinks: {remote_write: {url: http://host/, cert_file: c.pem}}", want: []string{`f.yaml:1: sinks.remote_write.cert_file: and key_file need each other: write both, or none`}},
	{name: "a role elsewhere than at AWS", file: "sinks: {remote_write: {url: http://host/, role_arn: 'arn:aws:iam::123456789012:role/x'}}", want: []string{`f.yaml:1: sinks.remote_write.role_arn: is only for auth: sigv4: write that, or remove this`}},
	{name: "samples faster than readings", file: "sample_interval: 5s\nsinks: {remote_write: {url: http://host/, interval: 2s}}", want: []string{`f.yaml:2: sinks.remote_write.interval: 2s is shorter than sample_interval 5s: write 5s`}},
	{name: "bad labels and headers", file: "sinks: {remote_write: {url: http://host/, external_labels: {__x: y, a-b: c}, headers: {'a b': c}}}", want: []string{
		`f.yaml:1: sinks.remote_write.external_labels: "__x" is no name of a label: write letters, digits and underscores, with no digit and no two underscores in front`,
		`f.yaml:1: sinks.remote_write.external_labels: "a-b" is no name of a label: write letters, digits and underscores, with no digit and no two underscores in front`,
		`f.yaml:1: sinks.remote_write.headers: has a name that no header can have: write letters, digits and -`}},
	{name: "credentials as a header", file: "sinks: {remote_write: {url: http://host/, headers: {authorization: s3cret}}}", want: []string{
		`f.yaml:1: sinks.remote_write.headers: has Authorization: write username, password_file or bearer_token_file instead`}},
	{name: "identity in short, wrong", file: "identity: automatic" + emf, want: []string{`f.yaml:1: identity.mode: "automatic" is not known: write auto or static`}},
	{name: "no such resolution", file: "sinks: {cloudwatch: {storage_resolution: 30}}", want: []string{`f.yaml:1: sinks.cloudwatch.storage_resolution: "30" is no resolution of CloudWatch: write 1 or 60`}},
	{name: "an endpoint without scheme", file: "sinks: {cloudwatch: {endpoint: vpce-1.example}}", want: []string{`f.yaml:1: sinks.cloudwatch.endpoint: "vpce-1.example" is no URL: write one such as https://monitoring.eu-west-1.amazonaws.com`}},
	{name: "a dimension like a member of EMF", file: "dimensions: {mac: x}" + emf, want: []string{`f.yaml:1: dimensions: "mac" is a name of enawatch's own: choose another`}},
	{name: "a dimension like a scalar of EMF", file: "dimensions: {heartbeat_sum: x}" + emf, want: []string{`f.yaml:1: dimensions: "heartbeat_sum" is a name of enawatch's own: choose another`}},
	{name: "same key twice", file: "zeros: dense\nzeros: x" + emf, want: []string{`f.yaml:2: zeros: is there twice, first on line 1: remove one`}},
	{name: "same sink twice", file: "sinks:\n  emf:\n  emf: {}", want: []string{`f.yaml:3: sinks.emf: is there twice, first on line 2: remove one`}},
	{name: "a list as key", file: "log:\n  ? [a]\n  : b\n  a b: c\ndimensions: {[a]: b}" + emf, want: []string{
		`f.yaml:2: log: a list cannot be a key`, `f.yaml:4: log: "a b" cannot be a key`, `f.yaml:5: dimensions: wants single words as names, not a list`}},
	{name: "an alias as key", file: "zeros: &z dense\nlog:\n  *z : info" + emf, want: []string{`f.yaml:3: log: an alias cannot be a key`}},
	{name: "merge key", file: "log: {<<: {level: info}}" + emf, want: []string{`f.yaml:1: log: "<<" cannot be a key`}},
	{name: "alias", file: "zeros: &a dense\nlog: {level: *a}\nqueue_stats: [*a]\nidentity: *a" + emf, want: []string{
		`f.yaml:2: log.level: alias "*a": aliases are not supported, and globs need quotes, as in "*"`,
		`f.yaml:3: queue_stats: alias "*a": aliases are not supported, and globs need quotes, as in "*"`,
		`f.yaml:4: identity: alias "*a": aliases are not supported, and globs need quotes, as in "*"`}},
	{name: "tag", file: "zeros: !!binary ZGVuc2U=" + emf, want: []string{`f.yaml:1: zeros: tag "!!binary": tags are not supported: remove it`}},

	// Values of the wrong shape.
	{name: "no value", file: "zeros:\ninterfaces: {exclude: }\nidentity:" + emf, want: []string{
		`f.yaml:1: zeros: has no value: give it one, or leave the key out`,
		`f.yaml:2: interfaces.exclude: has no value: give it one, or leave the key out`}},
	{name: "group is a word", file: "interfaces: ens5" + emf, want: []string{`f.yaml:1: interfaces: wants keys below it, or {}, not "ens5"`}},
	{name: "sink is a word", file: "sinks: {emf: true}", want: []string{`f.yaml:1: sinks.emf: wants keys below it, or {}, not "true"`}},
	{name: "sinks is a list", file: "sinks: [emf]", want: []string{`f.yaml:1: sinks: wants keys below it, or {}, not a list`}},
	{name: "scalar is a list", file: "zeros: [dense]" + emf, want: []string{`f.yaml:1: zeros: wants a single value, not a list`}},
	{name: "scalar is a mapping", file: "sample_interval: {s: 1}" + emf, want: []string{`f.yaml:1: sample_interval: wants a single value, not a mapping`}},
	{name: "list is a word", file: "interfaces:\n  include: ens5" + emf, want: []string{`f.yaml:2: interfaces.include: wants a list such as [a, b], not "ens5"`}},
	{name: "list of lists", file: "queue_stats:\n- tx_cnt\n- [rx_cnt]" + emf, want: []string{`f.yaml:3: queue_stats: wants a single value, not a list`}},
	{name: "list of nothing", file: "queue_stats:\n-" + emf, want: []string{`f.yaml:2: queue_stats: wants a single value, not nothing`}},
	{name: "map is a list", file: "dimensions: [a]" + emf, want: []string{`f.yaml:1: dimensions: wants names and values below it, not a list`}},
	{name: "map of lists", file: "dimensions:\n  A: a\n  B: [b]" + emf, want: []string{`f.yaml:3: dimensions: wants a single value, not a list`}},

	// Values.
	{name: "no unit", file: "zeros: dense\n\nsample_interval: 1" + emf, want: []string{`f.yaml:3: sample_interval: "1" has no unit: write 1s`}},
	{name: "bad unit", file: "publish_interval: 1d" + emf, want: []string{`f.yaml:1: publish_interval: "1d" is not a duration: write a number and its unit, such as 60s`}},
	{name: "too short", file: "sample_interval: 100ms" + emf, want: []string{`f.yaml:1: sample_interval: "100ms" is out of range: write 1s to 60s`}},
	{name: "too long", file: "publish_interval: 2h" + emf, want: []string{`f.yaml:1: publish_interval: "2h" is out of range: write 1s to 1h`}},
	{name: "too long and no unit", file: "sample_interval: 1000" + emf, want: []string{`f.yaml:1: sample_interval: "1000" is out of range: write 1s to 60s`}},
	{name: "day not divided", file: "publish_interval: 70s" + emf, want: []string{
		`f.yaml:1: publish_interval: 70s does not divide a day evenly, so windows would drift off the wall clock: change it to 72s`}},
	{name: "day not divided, shorter is nearest", file: "publish_interval: 11s" + emf, want: []string{
		`f.yaml:1: publish_interval: 11s does not divide a day evenly, so windows would drift off the wall clock: change it to 10s`}},
	{name: "day not divided, part of a second", file: "publish_interval: 1700ms" + emf, want: []string{
		`f.yaml:1: publish_interval: 1.7s does not divide a day evenly, so windows would drift off the wall clock: change it to 2s`}},
	{name: "another fault hides nothing", file: "zeros: x\npublish_interval: 11s\nsinks:", want: []string{
		`f.yaml:1: zeros: "x" is not known: write sparse or dense`,
		`f.yaml:2: publish_interval: 11s does not divide a day evenly, so windows would drift off the wall clock: change it to 10s`,
		`f.yaml:3: sinks: no sink is on, so nothing would be published: write "sinks: {emf: {}}" or set --sinks.emf`}},
	{name: "IMDS asked too often", file: "lifecycle: {poll: 200ms}" + emf, want: []string{
		`f.yaml:1: lifecycle.poll: 200ms is too often for IMDS: write at least 1s, or 0s for never`}},
	{name: "IMDS asked and not to be asked", file: "identity: static\nlifecycle: {poll: 5s}" + emf, want: []string{
		`f.yaml:2: lifecycle.poll: identity.mode is static, which never asks IMDS: set that to auto, or leave out lifecycle.poll`}},
	{name: "too seldom for link-local counts", file: "sample_interval: 10s\nlinklocal: {enabled: true}" + emf, want: []string{
		`f.yaml:2: linklocal.enabled: it wants a sample_interval of at most 5s, and that is 10s: change sample_interval, or leave link-local traffic uncounted`}},
	{name: "resolver is no address", file: "linklocal: {resolvers: [\"fd00::2\"]}" + emf, want: []string{`f.yaml:1: linklocal.resolvers: "fd00::2" is no IPv4 address: write one such as 10.0.0.2`}},
	{name: "longest intervals", file: "sample_interval: 60s\npublish_interval: 1h" + emf},
	{name: "not a multiple, longest", file: "publish_interval: 3m\nsample_interval: 55s" + emf, want: []string{
		`f.yaml:1: publish_interval: publish_interval 3m is not a whole multiple of sample_interval 55s: change sample_interval to 60s`}},
	{name: "not a multiple, file", file: "sample_interval: 7s" + emf, want: []string{
		`f.yaml:1: sample_interval: publish_interval 60s is not a whole multiple of sample_interval 7s: change sample_interval to 6s`}},
	{name: "not a multiple, both in the file", file: "sample_interval: 4s\npublish_interval: 90s" + emf, want: []string{
		`f.yaml:2: publish_interval: publish_interval 90s is not a whole multiple of sample_interval 4s: change sample_interval to 5s`}},
	{name: "not a multiple, by flag", file: "publish_interval: 10s" + emf, args: []string{"--sample-interval=3s"}, want: []string{
		`--sample-interval: publish_interval 10s is not a whole multiple of sample_interval 3s: change sample_interval to 2s`}},
	{name: "too many samples", file: "publish_interval: 5m" + emf, want: []string{
		`f.yaml:1: publish_interval: a window of 5m has 300 samples 1s apart, and an EMF array holds 100: change sample_interval to 3s`}},
	{name: "a fault hides what follows from it", file: "sample_interval: 1\npublish_interval: 5m" + emf, want: []string{
		`f.yaml:1: sample_interval: "1" has no unit: write 1s`}},
	{name: "not one of", file: "zeros: none\nlog: {level: Info, format: xml}\nsinks: {emf: {output: stderr}}", want: []string{
		`f.yaml:1: zeros: "none" is not known: write sparse or dense`,
		`f.yaml:2: log.level: "Info" is not known: write debug or info or warn or error`,
		`f.yaml:2: log.format: "xml" is not known: write auto or text or json`,
		`f.yaml:3: sinks.emf.output: "stderr" is no output: write stdout, agent, file:///PATH, tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH or logs://GROUP/STREAM`}},
	{name: "empty", file: "state_dir: ''\nzeros: \"\"\nsinks: {emf: {namespace: ''}, prometheus: {listen: ''}}", want: []string{
		`f.yaml:1: state_dir: is empty: give it a value, or leave the key out`,
		`f.yaml:2: zeros: is empty: give it a value, or leave the key out`,
		`f.yaml:3: sinks.emf.namespace: is empty: give it a value, or leave the key out`,
		`f.yaml:3: sinks.prometheus.listen: is empty: give it a value, or leave the key out`}},
	{name: "not printable", file: "state_dir: \"a\\nb\"\ninterfaces: {include: [\"\u200b\"]}\ndimensions: {\"a\\tb\": c}" + emf, want: []string{
		`f.yaml:1: state_dir: "a\nb" has a character that does not print: remove it`,
		`f.yaml:2: interfaces.include: "\u200b" has a character that does not print: remove it`,
		`f.yaml:3: dimensions: "a\tb" has a character that does not print: remove it`}},
	{name: "empty list", file: "interfaces: {include: []}\nsinks: {prometheus: {names: []}}", want: []string{
		`f.yaml:1: interfaces.include: is empty: write at least one, or leave the key out`,
		`f.yaml:2: sinks.prometheus.names: is empty: write at least one, or leave the key out`}},
	{name: "empty entry", file: "interfaces:\n  include:\n  - ens5\n  - ''" + emf, want: []string{`f.yaml:4: interfaces.include: has an empty entry: remove it`}},
	{name: "entry twice", file: "interfaces: {include: [a, b, a]}" + emf, want: []string{`f.yaml:1: interfaces.include: "a" is there twice: remove one`}},
	{name: "bad glob", file: "interfaces:\n  include: ['ens[']\n  exclude: ['ens\\']" + emf, want: []string{
		`f.yaml:2: interfaces.include: "ens[" is a bad glob: close every [ and write no \ at the end`,
		`f.yaml:3: interfaces.exclude: "ens\\" is a bad glob: close every [ and write no \ at the end`}},
	{name: "queue stats", file: "queue_stats:\n- tx_queue_stp\n- queue_tx_quee_*\n- pps_allowance_exceeded\n- 'rx_['" + emf, want: []string{
		`f.yaml:2: queue_stats: "tx_queue_stp" matches no stat of a queue: the nearest are tx_queue_stop, tx_queue_wakeup, tx_bytes`,
		`f.yaml:3: queue_stats: "queue_tx_quee_*" matches no stat of a queue: the nearest are tx_queue_stop, tx_queue_wakeup, tx_bytes`,
		`f.yaml:4: queue_stats: "pps_allowance_exceeded" matches no stat of a queue: the nearest are tx_xdp_frags_exceeded, rx_csum_unchecked, rx_pp_alloc_empty`,
		`f.yaml:5: queue_stats: "rx_[" is a bad glob: close every [ and write no \ at the end`}},
	{name: "dimension names", file: "dimensions:\n  InstanceId: i\n  NetworkInterfaceId: e\n  interface: a\n  host: b\n  _aws: c\n  pps_allowance_exceeded: d\n  :x: e\n  ' ': f\n  é: g\n  " +
		strings.Repeat("n", 251) + ": h" + emf, want: []string{
		`f.yaml:2: dimensions: "InstanceId" is a name of enawatch's own: choose another`,
		`f.yaml:3: dimensions: "NetworkInterfaceId" is a name of enawatch's own: choose another`,
		`f.yaml:4: dimensions: "interface" is a name of enawatch's own: choose another`,
		`f.yaml:5: dimensions: "host" is a name of enawatch's own: choose another`,
		`f.yaml:6: dimensions: "_aws" is a name of enawatch's own: choose another`,
		`f.yaml:7: dimensions: "pps_allowance_exceeded" is a name of enawatch's own: choose another`,
		`f.yaml:8: dimensions: name ":x" begins with a colon: CloudWatch refuses that`,
		`f.yaml:9: dimensions: name is empty: write 1 to 250 ASCII characters`,
		`f.yaml:10: dimensions: name "é" is not ASCII: CloudWatch takes no other characters`,
		`f.yaml:11: dimensions: name "` + strings.Repeat("n", 60) + `…" has 251 characters, and CloudWatch takes 250: shorten it`}},
	{name: "dimension values", file: "dimensions:\n  A: ''\n  B: ü\n  C: " + strings.Repeat("v", 1025) + "\n  A: a" + emf, want: []string{
		`f.yaml:2: dimensions: value of "A" is empty: write 1 to 1024 ASCII characters`,
		`f.yaml:3: dimensions: value of "B" "ü" is not ASCII: CloudWatch takes no other characters`,
		`f.yaml:4: dimensions: value of "C" "` + strings.Repeat("v", 60) + `…" has 1025 characters, and CloudWatch takes 1024: shorten it`}},
	{name: "dimension twice", file: "dimensions:\n  A: a\n  A: b" + emf, want: []string{`f.yaml:3: dimensions: "A" is there twice: remove one`}},
	{name: "as long as may be", file: "dimensions: {" + strings.Repeat("n", 250) + ": " + strings.Repeat("~", 1024) + "}\n" +
		"sinks: {emf: {namespace: " + strings.Repeat("N", 255) + "}}"},
	{name: "27 dimensions", file: entries(27)},
	{name: "28 dimensions", file: entries(28), want: []string{`f.yaml:1: dimensions: has 28 entries, but only 27 fit: remove some`}},
	{name: "identity", file: "identity: {host: hôte, instance_id: i-0xyz}" + emf, want: []string{
		`f.yaml:1: identity.host: name "hôte" is not ASCII: CloudWatch takes no other characters`,
		`f.yaml:1: identity.instance_id: "i-0xyz" is not an instance id: write one such as i-0123456789abcdef0`}},
	{name: "namespace of AWS", file: "sinks: {emf: {namespace: AWS/EC2}}", want: []string{
		`f.yaml:1: sinks.emf.namespace: "AWS/EC2" begins with AWS/ or a colon, which CloudWatch refuses: write one such as ENA`}},
	{name: "namespace with colon", file: "sinks: {emf: {namespace: ':x'}}", want: []string{
		`f.yaml:1: sinks.emf.namespace: ":x" begins with AWS/ or a colon, which CloudWatch refuses: write one such as ENA`}},
	{name: "long namespace", file: "sinks: {emf: {namespace: " + strings.Repeat("N", 256) + "}}", want: []string{
		`f.yaml:1: sinks.emf.namespace: namespace "` + strings.Repeat("N", 60) + `…" has 256 characters, and CloudWatch takes 255: shorten it`}},
	{name: "listen", file: "sinks:\n  prometheus:\n    listen: 9109\n    names: [promtheus]", want: []string{
		`f.yaml:3: sinks.prometheus.listen: "9109" is not an address: write host:port, such as 127.0.0.1:9109`,
		`f.yaml:4: sinks.prometheus.names: "promtheus" is not known: write native or node_exporter or showmax`}},
	{name: "port", file: "sinks: {prometheus: {listen: 'localhost:http'}}", want: []string{
		`f.yaml:1: sinks.prometheus.listen: "localhost:http" has a bad port: write a number up to 65535`}},

	// The environment.
	{name: "variable", environ: []string{"ENAWATCH_SAMPLE_INTERVAL=1", "ENAWATCH_SINKS_EMF_NAMESPACE="}, want: []string{
		`ENAWATCH_SAMPLE_INTERVAL: "1" has no unit: write 1s`,
		`ENAWATCH_SINKS_EMF_NAMESPACE: is empty: give it a value, or leave the key out`}},
	{name: "unknown variables", environ: []string{"ENAWATCH_ZERO=x", "ENAWATCH_=", "ENAWATCH_A\nB=c", "ENAWATCH_SINKS=emf", "ENAWATCH_PORT=tcp://10.0.0.1:80"}, want: []string{
		`ENAWATCH_: unknown variable: unset it`,
		`"ENAWATCH_A\nB": unknown variable: unset it`,
		`ENAWATCH_PORT: unknown variable: unset it`,
		`ENAWATCH_SINKS: unknown variable: unset it`,
		`ENAWATCH_ZERO: unknown variable: did you mean ENAWATCH_ZEROS?`}},
	{name: "links to services of Kubernetes", environ: []string{
		"KUBERNETES_SERVICE_HOST=10.0.0.1", "ENAWATCH_SERVICE_HOST=10.0.0.2", "ENAWATCH_SERVICE_PORT=9109", "ENAWATCH_SERVICE_PORT_METRICS=9109",
		"ENAWATCH_PORT=tcp://10.0.0.2:9109", "ENAWATCH_PORT_9109_TCP=tcp://10.0.0.2:9109", "ENAWATCH_PORT_9109_TCP_PROTO=tcp",
		"ENAWATCH_PORT_9109_TCP_PORT=9109", "ENAWATCH_PORT_9109_TCP_ADDR=10.0.0.2", "ENAWATCH_WEST_SERVICE_HOST=10.0.0.2", "ENAWATCH_PORTS=x"}, want: []string{
		`ENAWATCH_PORTS: unknown variable: unset it`}},
	{name: "switch", environ: []string{"ENAWATCH_SINKS_EMF=on"}, want: []string{`ENAWATCH_SINKS_EMF: "on" is neither true nor false`}},
	{name: "list", environ: []string{"ENAWATCH_INTERFACES_INCLUDE=a,,b", "ENAWATCH_SINKS_PROMETHEUS_NAMES="}, want: []string{
		`ENAWATCH_INTERFACES_INCLUDE: has an empty entry: remove it`,
		`ENAWATCH_SINKS_PROMETHEUS_NAMES: is empty: write at least one, or leave the key out`}},
	{name: "map", environ: []string{"ENAWATCH_DIMENSIONS=A,B=b,B=c,=d"}, want: []string{
		`ENAWATCH_DIMENSIONS: value of "A" is empty: write 1 to 1024 ASCII characters`,
		`ENAWATCH_DIMENSIONS: "B" is there twice: remove one`,
		`ENAWATCH_DIMENSIONS: name is empty: write 1 to 250 ASCII characters`}},
	{name: "not UTF-8 in the environment", environ: []string{"ENAWATCH_STATE_DIR=\xff"}, want: []string{
		`ENAWATCH_STATE_DIR: "\xff" has a character that does not print: remove it`}},

	// The command line.
	{name: "flags", args: []string{"--sample-interval=1", "--interfaces.exclude=[", "--web.config.file=\x01", "--sinks.emf=no"}, want: []string{
		`--sample-interval: "1" has no unit: write 1s`,
		`--interfaces.exclude: "[" is a bad glob: close every [ and write no \ at the end`,
		`--sinks.emf: "no" is neither true nor false`,
		`--web.config.file: "\x01" has a character that does not print: remove it`}},
	{name: "all layers, in order", file: "zeros: x\nlog: {level: y}" + emf, environ: []string{"ENAWATCH_ZEROS=z"}, args: []string{"--zeros=w"}, want: []string{
		`f.yaml:1: zeros: "x" is not known: write sparse or dense`,
		`f.yaml:2: log.level: "y" is not known: write debug or info or warn or error`,
		`ENAWATCH_ZEROS: "z" is not known: write sparse or dense`,
		`--zeros: "w" is not known: write sparse or dense`}},
}

func TestFaults(t *testing.T) {
	for _, test := range faultTests {
		t.Run(test.name, func(t *testing.T) {
			path := ""
			if test.file != "" {
				path = "f.yaml"
			}
			_, err := merge(path, []byte(test.file), test.environ, parseFlags(t, test.args...))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(strings.Join(test.want, "\n"), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
