package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/linklocal"
	"github.com/enawatch/enawatch/agent/pattern"
	emfsink "github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/window"
)

// checks are the rules that tags name. They get the name of an entry of a map,
// or "", and the text of a value, both printable. A value that is empty and may
// be is not checked.
var checks = map[string]func(name, text string) error{
	"address":        checkAddress,
	"dimension":      checkDimension,
	"emf output":     checkEMFOutput,
	"endpoint":       checkEndpoint,
	"glob":           checkGlob,
	"header":         checkHeader,
	"host":           checkHost,
	"instance id":    checkInstanceID,
	"introspection":  checkIntrospection,
	"ipv4":           checkIPv4,
	"label":          checkLabel,
	"namespace":      checkNamespace,
	"queue stat":     checkQueueStat,
	"resolution":     checkResolution,
	"external label": checkExternalLabel,
	"push url":       checkPushURL,
	"threshold":      checkThreshold,
	"file mode":      checkFileMode,
	"retention":      checkRetention,
}

func checkGlob(_, text string) error {
	if _, err := path.Match(text, ""); err != nil {
		return fmt.Errorf("%s is a bad glob: close every [ and write no \\ at the end", quote(text))
	}
	return nil
}

func checkQueueStat(_, text string) error {
	if err := checkGlob("", text); err != nil {
		return err
	}
	if len(MatchQueueStats(text)) > 0 {
		return nil
	}
	var names []string
	for _, e := range ena.Catalogue()[ena.FirstQueue:] {
		names = append(names, strings.TrimPrefix(e.Name, queuePrefix))
	}
	near := nearest(strings.TrimPrefix(text, queuePrefix), names)
	return fmt.Errorf("%s matches no stat of a queue: the nearest are %s", quote(text), strings.Join(near[:3], ", "))
}

const queuePrefix = "queue_"

// MatchQueueStats returns the per-queue stats that any of the globs matches,
// with or without the prefix queue_, in catalogue order.
func MatchQueueStats(globs ...string) []ena.Stat {
	var stats []ena.Stat
	for s := ena.FirstQueue; int(s) < ena.NumStats; s++ {
		if slices.ContainsFunc(globs, func(glob string) bool {
			with, _ := path.Match(glob, s.String())
			without, _ := path.Match(glob, strings.TrimPrefix(s.String(), queuePrefix))
			return with || without
		}) {
			stats = append(stats, s)
		}
	}
	return stats
}

// checkASCII holds what CloudWatch demands of every name and value: ASCII, from
// 1 to most characters, not only spaces (API reference, Dimension and
// PutMetricData).
func checkASCII(what, text string, most int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("%s is empty: write 1 to %d ASCII characters", what, most)
	case strings.ContainsFunc(text, func(r rune) bool { return r > '~' }):
		return fmt.Errorf("%s %s is not ASCII: CloudWatch takes no other characters", what, quote(text))
	case len(text) > most:
		return fmt.Errorf("%s %s has %d characters, and CloudWatch takes %d: shorten it", what, quote(text), len(text), most)
	}
	return nil
}

// checkDimension holds the limits of CloudWatch and of EMF, where a dimension
// is a member of the document's root, beside the metrics.
func checkDimension(name, text string) error {
	if err := checkASCII("name", name, 250); err != nil {
		return err
	}
	if strings.HasPrefix(name, ":") {
		return fmt.Errorf("name %s begins with a colon: CloudWatch refuses that", quote(name))
	}
	if reserved(name) {
		return fmt.Errorf("%s is a name of enawatch's own: choose another", quote(name))
	}
	return checkASCII("value of "+quote(name), text, 1024)
}

// reserved reports whether a name stands at the root of an EMF document already,
// as a member or, with or without a suffix, as a metric.
func reserved(name string) bool {
	if slices.Contains([]string{
		"_aws", "InstanceId", "NetworkInterfaceId", "host", "interface", "interfaces", "interfaces_omitted",
		"allowance_records", "conntrack_owners", "conntrack_others", "conntrack_top_owner", "conntrack_top_entries", "linklocal_senders", "linklocal_others", "linklocal_top_sender", "linklocal_top_packets", "mac", "driver_version", "simulated", "start", "window_seconds",
		"pods", "pods_dns", "pods_omitted",
	}, name) {
		return true
	}
	for _, suffix := range []string{"_sum", "_max", "_min", "_last"} {
		name = strings.TrimSuffix(name, suffix)
	}
	_, stat := ena.Lookup(name)
	return stat || slices.ContainsFunc(ena.Catalogue()[ena.FirstQueue:], func(e ena.Entry) bool { return e.Name == name }) ||
		slices.ContainsFunc(slices.Concat(window.AllDerived(), window.LinkLocal(), window.Conntrack()), func(d window.Derived) bool { return d.Name == name })
}

// checkHeader holds what RFC 9110 demands of names and values, in ASCII. It never
// repeats a value, nor what may be one without its name.
func checkHeader(name, text string) error {
	if !headerName().MatchString(name) {
		return errors.New("has a name that no header can have: write letters, digits and -")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
		return fmt.Errorf("the value of %s is not ASCII: a header takes no other characters", quote(name))
	}
	return nil
}

var headerName = pattern.New("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")

func checkHost(_, text string) error { return checkASCII("name", text, 1024) }

var instanceID = pattern.New(`^i-[0-9a-f]{1,32}$`)

func checkInstanceID(_, text string) error {
	if !instanceID().MatchString(text) {
		return fmt.Errorf("%s is not an instance id: write one such as i-0123456789abcdef0", quote(text))
	}
	return nil
}

func checkIPv4(_, text string) error {
	if a, err := netip.ParseAddr(text); err != nil || !a.Is4() {
		return fmt.Errorf("%s is no IPv4 address: write one such as 10.0.0.2", quote(text))
	}
	return nil
}

func checkLabel(_, text string) error { return checkASCII("value", text, 1024) }

func checkEndpoint(_, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%s is no URL: write one such as https://monitoring.eu-west-1.amazonaws.com", quote(text))
	}
	return nil
}

// checkEMFOutput holds the form; the sink knows the rest.
func checkEMFOutput(_, text string) error {
	scheme, rest, url := strings.Cut(text, "://")
	switch {
	case text == "stdout", text == "agent":
		return nil
	case url && rest != "" && slices.Contains([]string{"file", "tcp", "udp", "unix", "logs"}, scheme):
		return nil
	}
	return fmt.Errorf("%s is no output: write stdout, agent, file:///PATH, tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH or logs://GROUP/STREAM", quote(text))
}

// checkFileMode wants octal digits that let the owner read and write.
func checkFileMode(_, text string) error {
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mode > 0o777 || mode&0o600 != 0o600 {
		return fmt.Errorf("%s is no mode of a file: write octal digits that let the owner read and write, such as 0600 or 0640", quote(text))
	}
	return nil
}

func checkRetention(_, text string) error {
	days, _ := strconv.Atoi(text) // it is a number already
	if all := emfsink.Retentions(); !slices.Contains(all, days) {
		return fmt.Errorf("CloudWatch Logs does not keep events for %d days: write one of %s", days, strings.Trim(fmt.Sprint(all), "[]"))
	}
	return nil
}

func checkResolution(_, text string) error {
	if text != "1" && text != "60" {
		return fmt.Errorf("%s is no resolution of CloudWatch: write 1 or 60", quote(text))
	}
	return nil
}

// checkThreshold holds for an entry of sinks.kubernetes.thresholds.
func checkThreshold(name, text string) error {
	names := ena.Allowances()
	if !slices.Contains(names, name) {
		return fmt.Errorf("%s is no allowance: write %s", quote(name), strings.Join(names, ", "))
	}
	if n, err := strconv.Atoi(text); err != nil || n < 1 {
		return fmt.Errorf("%s is no number of packets: write 1 or more, or leave %s out", quote(text), name)
	}
	return nil
}

func checkNamespace(_, text string) error {
	if strings.HasPrefix(text, "AWS/") || strings.HasPrefix(text, ":") {
		return fmt.Errorf("%s begins with AWS/ or a colon, which CloudWatch refuses: write one such as ENA", quote(text))
	}
	return checkASCII("namespace", text, 255)
}

func checkIntrospection(_, text string) error {
	if path, ok := strings.CutPrefix(text, "unix:"); ok && strings.HasPrefix(path, "/") {
		return nil
	}
	return checkAddress("", text)
}

func checkAddress(_, text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%s is not an address: write host:port, such as 127.0.0.1:9109", quote(text))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%s has a bad port: write a number up to 65535", quote(text))
	}
	return nil
}

// checkSinks refuses a configuration that publishes nothing.
func (l *loader) checkSinks() {
	if l.config.Sinks == (Sinks{}) && !l.faulty("sinks") {
		l.fault(l.set["sinks"], "sinks", `no sink is on, so nothing would be published: write "sinks: {emf: {}}" or set --sinks.emf`)
	}
}

// maxSamples is how many samples a window may hold: as many as an array in EMF
// (CloudWatch user guide, embedded metric format specification).
const maxSamples = 100

// checkIntervals refuses windows that do not begin on the wall clock, end
// between two samples or hold too many of them. It says which of the two keys
// to change, and to what.
func (l *loader) checkIntervals() {
	const publishKey, sampleKey = "publish_interval", "sample_interval"
	if l.faulty(publishKey) || l.faulty(sampleKey) {
		return
	}
	publish, sample := l.config.PublishInterval, l.config.SampleInterval
	at, blamed := l.set[publishKey], publishKey
	if day%publish != 0 {
		l.fault(at, blamed, "%s does not divide a day evenly, so windows would drift off the wall clock: change it to %s",
			short(publish), short(nearestInterval(publish)))
		return
	}
	if later := l.set[sampleKey]; later.layer > at.layer {
		at, blamed = later, sampleKey
	}
	switch {
	case publish%sample != 0:
		l.fault(at, blamed, "publish_interval %s is not a whole multiple of sample_interval %s: change sample_interval to %s",
			short(publish), short(sample), short(nearestSample(publish, sample)))
	case publish/sample > maxSamples:
		l.fault(at, blamed, "a window of %s has %d samples %s apart, and an EMF array holds %d: change sample_interval to %s",
			short(publish), publish/sample, short(sample), maxSamples, short(nearestSample(publish, sample)))
	}
}

// checkLinkLocal refuses readings that come too seldom for the kernel's counts.
func (l *loader) checkLinkLocal() {
	const key = "linklocal.enabled"
	if c := l.config; c.LinkLocal.Enabled && c.SampleInterval > linklocal.MaxPause && !l.faulty("sample_interval") && !l.faulty(key) {
		l.fault(l.set[key], key, "it wants a sample_interval of at most %s, and that is %s: change sample_interval, or leave link-local traffic uncounted",
			short(linklocal.MaxPause), short(c.SampleInterval))
	}
}

// checkLifecycle refuses to ask IMDS too often, and where it is not to be asked.
func (l *loader) checkLifecycle() {
	const key = "lifecycle.poll"
	switch poll := l.config.Lifecycle.Poll; {
	case poll == 0 || l.faulty(key):
	case poll < time.Second:
		l.fault(l.set[key], key, "%s is too often for IMDS: write at least 1s, or 0s for never", short(poll))
	case l.config.Identity.Mode == "static" && !l.faulty("identity.mode"):
		l.fault(l.set[key], key, "identity.mode is static, which never asks IMDS: set that to auto, or leave out lifecycle.poll")
	}
}

const day = 24 * time.Hour

// nearestInterval returns the whole number of seconds nearest to an interval of
// at least a second that divides a day evenly. One second does, so that it gets
// no further down.
func nearestInterval(d time.Duration) time.Duration {
	d = d.Round(time.Second)
	for off := time.Duration(0); ; off += time.Second {
		for _, near := range []time.Duration{d - off, d + off} {
			if day%near == 0 {
				return near
			}
		}
	}
}

// nearestSample returns the sample interval nearest to one that publish is a
// whole multiple of, in whole seconds if publish is.
func nearestSample(publish, sample time.Duration) time.Duration {
	unit := time.Second
	if publish%unit != 0 {
		unit = 1
	}
	var best time.Duration
	for n := range time.Duration(maxSamples) {
		d := publish / (n + 1)
		if publish%(n+1) == 0 && d%unit == 0 && d >= time.Second && d <= time.Minute &&
			(best == 0 || (d-sample).Abs() < (best-sample).Abs()) {
			best = d
		}
	}
	return best
}

// nearest sorts words by how many letters it takes to make them of text.
func nearest(text string, words []string) []string {
	words = slices.Clone(words)
	far := make(map[string]int, len(words))
	for _, w := range words {
		far[w] = distance(text, w)
	}
	slices.SortStableFunc(words, func(a, b string) int { return far[a] - far[b] })
	return words
}

// distance counts the bytes that must be changed, added or removed to make word
// of text, whatever its case. A * in text stands for any bytes, a ? for one. Of
// a long text it looks at the beginning only, which is far enough from any word.
func distance(text, word string) int {
	text, word = strings.ToLower(text[:min(len(text), 100)]), strings.ToLower(word)
	row := make([]int, len(word)+1) // of what came before in text, to each start of word
	for j := range row {
		row[j] = j
	}
	for _, c := range []byte(text) {
		cost := 1
		if c == '*' {
			cost = 0
		}
		diagonal := row[0]
		row[0] += cost
		for j, w := range []byte(word) {
			swap := diagonal
			if c != w && c != '?' {
				swap++
			}
			diagonal = row[j+1]
			row[j+1] = min(swap, row[j+1]+cost, row[j]+cost)
		}
	}
	return row[len(word)]
}

// meant returns the word that text was meant to be, or "" if it is far from all.
func meant(text string, words []string) string {
	near := nearest(text, words)[0]
	if distance(text, near) > max(1, len(near)/3) {
		return ""
	}
	return near
}

// suggest says what to write instead of a name that is no key of k.
func (k *key) suggest(name string) string {
	var names []string
	for _, b := range k.below {
		names = append(names, b.name())
	}
	suggestion := meant(name, names)
	for _, b := range root.all() {
		if suggestion == "" && b.name() == name {
			suggestion = b.path
		}
	}
	if suggestion == "" {
		return "known here are " + strings.Join(names, ", ")
	}
	return "did you mean " + suggestion + "?"
}
