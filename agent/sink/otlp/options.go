package otlp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// What a sum counts.
const (
	TemporalityDelta      = "delta"
	TemporalityCumulative = "cumulative"
)

// What is told of the seconds of a window, beside their sum.
const (
	DistributionNone      = "none"
	DistributionSumMax    = "sum_max"
	DistributionHistogram = "histogram"
)

const (
	defaultTimeout = 20 * time.Second
	metricsPath    = "/v1/metrics"
)

// errSimulated refuses to mix invented numbers with measured ones, for which
// somebody pays and on which somebody is paged.
var errSimulated = errors.New("otlp sink: a simulation is never published to AWS: remove the otlp sink, or do not simulate")

// complete checks the options, fills in defaults, and returns where to publish
// to, or nil if that follows from the region.
func (o *Options) complete() (*url.URL, error) {
	if o.Temporality == "" {
		o.Temporality = TemporalityDelta
	}
	if o.Distribution == "" {
		o.Distribution = DistributionSumMax
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Host == nil {
		o.Host = func() Host { return Host{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Temporality != TemporalityDelta && o.Temporality != TemporalityCumulative:
		return nil, fmt.Errorf("temporality %q is not known: use %s or %s", o.Temporality, TemporalityDelta, TemporalityCumulative)
	case o.Distribution != DistributionNone && o.Distribution != DistributionSumMax && o.Distribution != DistributionHistogram:
		return nil, fmt.Errorf("distribution %q is not known: use %s, %s or %s", o.Distribution, DistributionNone, DistributionSumMax, DistributionHistogram)
	case o.Distribution == DistributionHistogram && o.Temporality != TemporalityDelta:
		return nil, fmt.Errorf("distribution %s: a histogram is of one window: use temporality %s, or distribution %s", o.Distribution, TemporalityDelta, DistributionSumMax)
	case o.Timeout < 0:
		return nil, fmt.Errorf("timeout %v: give a positive duration", o.Timeout)
	case !o.AWS && (o.Region != "" || o.Credentials != nil):
		return nil, errors.New("region: it is that of AWS: switch aws on, or remove it")
	}
	if err := o.checkHeaders(); err != nil {
		return nil, err
	}
	u, err := o.parseEndpoint()
	if err == nil && o.Simulated && o.isAWS(u) {
		err = errSimulated
	}
	return u, err
}

// parseEndpoint never repeats the URL, which may hold a password.
func (o *Options) parseEndpoint() (*url.URL, error) {
	if o.Endpoint == "" {
		if o.AWS {
			return nil, nil
		}
		return nil, errors.New("endpoint: give the URL of a collector, as http://127.0.0.1:4318, or switch aws on")
	}
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("endpoint: give a URL as http://HOST:4318 or https://HOST")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("endpoint: give a URL without user, query and fragment; a token goes into headers")
	}
	if !strings.HasSuffix(u.Path, metricsPath) {
		u = u.JoinPath(metricsPath)
	}
	return u, nil
}

// isAWS reports whether u, or the region's endpoint if it is nil, is of AWS,
// which also takes requests that carry a token instead of a signature.
func (o *Options) isAWS(u *url.URL) bool {
	if o.AWS {
		return true
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn") || strings.HasSuffix(host, ".api.aws")
}

var (
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // a token of RFC 9110
	// headerValue takes what is visible, and spaces between.
	headerValue = regexp.MustCompile(`^([!-~]([ -~]*[!-~])?)?$`)
)

// checkHeaders never repeats a value, which may be a token.
func (o *Options) checkHeaders() error {
	for name, value := range o.Headers {
		switch canonical := http.CanonicalHeaderKey(name); {
		case !headerName.MatchString(name):
			return fmt.Errorf("headers: %.80q is no name of a header: use letters, digits and hyphens", name)
		case !headerValue.MatchString(value):
			return fmt.Errorf("headers: the value of %s must be printable ASCII without spaces around it", name)
		case canonical == "Content-Type" || canonical == "Content-Encoding" || canonical == "Content-Length" || canonical == "Host" || canonical == "Transfer-Encoding" || canonical == "Connection":
			return fmt.Errorf("headers: %s follows from the protocol: remove it", name)
		case o.AWS && (canonical == "Authorization" || strings.HasPrefix(canonical, "X-Amz-")):
			return fmt.Errorf("headers: %s comes with the signature: remove it, or switch aws off", name)
		}
	}
	return nil
}
