package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// startLimit is how long Find may take: the agent reads within 3 s of its
	// start, whatever IMDS does.
	startLimit = 2 * time.Second
	// firstDelay is the time to the first round of requests after something is
	// asked for: interfaces often come several at once, and IMDS lags behind
	// them (github.com/amazonlinux/amazon-ec2-net-utils issue 153).
	firstDelay = time.Second
	maxDelay   = time.Minute
	// giveUp is after how long something is no longer asked for.
	giveUp = 5 * time.Minute
)

// Options say what is known beforehand, and what may be asked.
type Options struct {
	// Static forbids IMDS. Without it, IMDS is asked unless
	// AWS_EC2_METADATA_DISABLED is "true" or DMI says that this is no EC2
	// instance; AWS_EC2_METADATA_SERVICE_ENDPOINT and _MODE say where it is.
	Static bool
	// Host holds what the configuration says of the host, which is not checked
	// and goes before everything else.
	Host Host
	// ENIs are never asked for. Their MACs are in lower case.
	ENIs []ENI
	// Getenv is os.Getenv if it is nil.
	Getenv func(string) string
	// Sys is where sysfs is mounted, "" being /sys.
	Sys string

	transport http.RoundTripper
}

// Update is what Run found out. The fields that do not change are empty.
type Update struct {
	// Host is not nil if more is known of the host than Find said.
	Host *Host
	// ENIs are new, or may have changed.
	ENIs []ENI
	// Errs say what is given up. Each is one line and names a remedy.
	Errs []error
}

// Resolver finds out about the host and its interfaces.
type Resolver struct {
	config, imds Host
	local        []source // in order of rank, below config and imds
	known        []ENI
	errs         []error   // what New found wrong
	client       *client   // nil if IMDS is not to be asked
	noticeClient *client   // the same for WatchNotices, which runs beside Run
	hostOpen     time.Time // since when IMDS is asked for the host; zero if it is not

	mu    sync.Mutex
	open  map[string]time.Time // MACs that IMDS is asked for, and since when
	ready []ENI                // known ones that were asked for
	wake  chan struct{}
}

var errNotListed = errors.New("IMDS does not list it: restart the agent to ask again if it is attached to this instance")

// source is what one source says of the host.
type source struct {
	name Source
	host Host
}

// New asks all but IMDS. What it finds wrong, Find returns.
func New(o Options) *Resolver {
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	r := &Resolver{config: o.Host, known: o.ENIs, open: map[string]time.Time{}, wake: make(chan struct{}, 1)}
	dmi, alien := fromDMI(cmp.Or(o.Sys, "/sys"))
	r.local = []source{
		{Kubernetes, fromKubernetes(getenv)}, {Environment, fromEnvironment(getenv)}, {DMI, dmi}, {OS, fromOS()},
	}
	for i := range r.local {
		r.errs = append(r.errs, r.local[i].host.strip(r.local[i].name)...)
	}
	if o.Static || strings.EqualFold(getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		return r
	}
	switch u, forced, err := endpoint(getenv); {
	case err != nil:
		r.errs = append(r.errs, err)
	case alien != "" && !forced:
		r.errs = append(r.errs, fmt.Errorf("IMDS is not asked, as DMI says that %s made this machine and not EC2: "+
			"set AWS_EC2_METADATA_SERVICE_ENDPOINT=%s if it has IMDS all the same", quote(alien), u))
	default:
		transport := o.transport
		if transport == nil {
			transport = newTransport()
		}
		r.client, r.noticeClient = newClient(u, transport), newClient(u, transport)
	}
	return r
}

// endpoint returns where IMDS is, as the SDKs find it, and whether the
// environment says so.
func endpoint(getenv func(string) string) (u *url.URL, forced bool, err error) {
	if text := getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"); text != "" {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, false, errors.New("IMDS is not asked, as AWS_EC2_METADATA_SERVICE_ENDPOINT is no URL: " +
				"write one such as http://169.254.169.254, or unset it")
		}
		return u, true, nil
	}
	u = &url.URL{Scheme: "http", Host: "169.254.169.254"}
	switch mode := getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"); strings.ToLower(mode) {
	case "", "ipv4":
	case "ipv6":
		u.Host = "[fd00:ec2::254]"
	default:
		return nil, false, fmt.Errorf("IMDS is not asked, as AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is %s: "+
			"write IPv4 or IPv6, or unset it", quote(mode))
	}
	return u, false, nil
}

// Find returns what is known of the host and of the interfaces with the given
// MACs. It takes at most 2 seconds; what IMDS does not say by then is left to
// Run. Errors are warnings: each is one line and names a remedy. They are
// compatible with errors.Is(err, ErrNoAnswer) if IMDS kept silent, and with
// errors.Is(err, ErrOff) if it refused.
//
// Find is called once, before Run.
func (r *Resolver) Find(ctx context.Context, macs ...string) (Host, []ENI, []error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	r.add(macs)
	if r.client != nil {
		r.hostOpen = time.Now()
	}
	u, err := r.round(ctx)
	errs := append(r.errs, u.Errs...)
	if err != nil {
		errs = append(errs, err)
	}
	if err != nil && !errors.Is(err, ErrNoAnswer) {
		r.mu.Lock()
		r.client, r.hostOpen = nil, time.Time{} // it would say the same again
		clear(r.open)
		r.mu.Unlock()
	}
	host := r.host()
	if host.Hostname == "" {
		errs = append(errs, errors.New("this host has no name: set identity.host"))
	}
	return host, u.ENIs, errs
}

// Ask returns what is known of the host when IMDS was asked for the identity
// document alone, which is two requests, or asked nothing; asked is false if it
// is not to be asked. Errors are as of Find. Ask is for a resolver that nothing
// else is called of.
func (r *Resolver) Ask(ctx context.Context) (host Host, asked bool, errs []error) {
	errs = r.errs
	if asked = r.client != nil; asked {
		defer r.client.door.http.CloseIdleConnections()
		h, err := r.client.document(ctx)
		if err != nil {
			errs = append(errs, err)
		}
		errs = append(errs, h.strip(IMDS)...)
		r.imds.fill(h, IMDS)
	}
	return r.host(), asked, errs
}

// Resolve has Run find out about the interfaces with the given MACs. It does
// not block.
func (r *Resolver) Resolve(macs ...string) {
	r.add(macs)
	select {
	case r.wake <- struct{}{}:
	default: // it is to wake up already
	}
}

func (r *Resolver) add(macs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range macs {
		m = strings.ToLower(m)
		if i := slices.IndexFunc(r.known, func(e ENI) bool { return e.MAC == m }); i >= 0 {
			r.ready = append(r.ready, r.known[i])
		} else if r.client != nil && mac.MatchString(m) { // it becomes part of a path
			r.open[m] = time.Now()
		}
	}
}

// Run asks IMDS for what Find left open and what Resolve is told, in rounds
// that are 1, 2, 4 ... 60 seconds apart, and gives up after 5 minutes. It calls
// found after each round that changed something, and returns when ctx ends.
func (r *Resolver) Run(ctx context.Context, found func(Update)) {
	delay := firstDelay
	timer := time.NewTimer(delay)
	defer timer.Stop()
	due := time.Now().Add(delay) // zero if no round is due
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			delay = firstDelay
			if soon := time.Now().Add(delay); due.IsZero() || soon.Before(due) {
				due = soon
				timer.Reset(delay)
			}
			continue
		case <-timer.C:
		}
		u, err := r.round(ctx)
		errs, again := r.expire(err)
		u.Errs = append(u.Errs, errs...)
		if u.Host != nil || len(u.ENIs)+len(u.Errs) > 0 {
			found(u)
		}
		due = time.Time{}
		if again {
			delay = min(2*delay, maxDelay)
			due = time.Now().Add(delay)
			timer.Reset(delay)
		}
	}
}

// round asks once for all that is open. The error is the one that ended it.
func (r *Resolver) round(ctx context.Context) (u Update, err error) {
	r.mu.Lock()
	macs := slices.Sorted(maps.Keys(r.open))
	u.ENIs, r.ready = r.ready, nil
	r.mu.Unlock()
	if r.client == nil {
		return u, nil
	}
	defer r.client.door.http.CloseIdleConnections()
	if !r.hostOpen.IsZero() {
		var h Host
		h, err = r.client.describe(ctx)
		errs := h.strip(IMDS)
		before := r.host()
		r.imds.fill(h, IMDS)
		if after := r.host(); after != before {
			u.Host = &after
		}
		if err == nil {
			r.hostOpen, u.Errs = time.Time{}, errs
		}
	}
	if err == nil && len(macs) > 0 {
		var enis []ENI
		enis, err = r.client.enis(ctx, macs)
		u.ENIs = append(u.ENIs, enis...)
		r.mu.Lock()
		for _, e := range enis {
			delete(r.open, e.MAC)
		}
		r.mu.Unlock()
	}
	return u, err
}

// expire gives up what was asked for long enough, and reports whether there is
// more to ask for. err is how the last round ended.
func (r *Resolver) expire(err error) (errs []error, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.hostOpen.IsZero() && time.Since(r.hostOpen) >= giveUp {
		r.hostOpen = time.Time{}
		errs = append(errs, fmt.Errorf("give up asking who this host is: %w", err))
	}
	var lost []string
	for m, since := range r.open {
		if time.Since(since) >= giveUp {
			lost = append(lost, m)
			delete(r.open, m)
		}
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		errs = append(errs, fmt.Errorf("give up asking which ENI has the MAC %s: %w", strings.Join(lost, ", "), cmp.Or(err, errNotListed)))
	}
	return errs, len(r.open) > 0 || !r.hostOpen.IsZero()
}

// host puts together what every source says.
func (r *Resolver) host() Host {
	var h Host
	h.fill(r.config, Config)
	h.fill(r.imds, IMDS)
	for _, s := range r.local {
		h.fill(s.host, s.name)
	}
	return h
}
