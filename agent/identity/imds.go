package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

var (
	// ErrNoAnswer says that nothing came back from IMDS.
	ErrNoAnswer = errors.New("IMDS does not answer")
	// ErrOff says that IMDS refuses every request.
	ErrOff = errors.New("IMDS is off for this instance")
	// errAlien says that something else answers in its place.
	errAlien = errors.New("what answers is no IMDSv2")
	// errNotFound says that IMDS has nothing under a path.
	errNotFound = errors.New("not found")
	errTooLong  = errors.New("the answer is too long")
)

const (
	// callLimit is how long one value may take, with the token if it needs one.
	callLimit = time.Second
	// maxAnswer bounds an answer, in bytes. The longest honest one is the list
	// of the keys of 50 tags, of 128 characters each.
	maxAnswer = 32 << 10
)

// client asks IMDS, one request at a time.
type client struct {
	api  *imds.Client
	door *door
	host string // of the endpoint
}

// newClient asks at endpoint, and nowhere else: no proxy, no redirect. Requests
// without a token (IMDSv1) are never made.
func newClient(endpoint *url.URL, transport http.RoundTripper) *client {
	d := &door{http: http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return &client{door: d, host: endpoint.Host, api: imds.New(imds.Options{
		Endpoint:          endpoint.String(),
		HTTPClient:        d,
		ClientEnableState: imds.ClientEnabled,
		EnableFallback:    aws.FalseTernary,
		Retryer:           aws.NopRetryer{}, // a retry is the Resolver's to decide
	})}
}

// newTransport knows no proxy: IMDS is on the link, and it refuses requests that
// were forwarded.
func newTransport() *http.Transport {
	return &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: maxAnswer}
}

// door is the HTTP client of the SDK's. It bounds answers, and it notes how the
// last request ended, because the SDK hides why there is no token.
type door struct {
	http   http.Client
	status int
	err    error
	// connected is true if the last request had a connection to go out by, and
	// token if it asked for a token.
	connected, token bool
}

// Do sends a request without its body, which is empty: smithy-go v1.28.8 lets
// net/http write it out with WriteTo, whose error when it is closed can break
// the connection while the answer comes in.
func (d *door) Do(r *http.Request) (*http.Response, error) {
	r.Body = nil
	d.status, d.connected, d.token = 0, false, r.Method == http.MethodPut
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { d.connected = true }}
	resp, err := d.http.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if d.err = err; err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	d.status = resp.StatusCode
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(body) > maxAnswer {
		err = errTooLong
	}
	if d.err = err; err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// call makes one call to the SDK and explains why it failed. The error is
// compatible with errors.Is(err, errNotFound) if IMDS has no such path.
func (c *client) call(ctx context.Context, f func(context.Context) error) error {
	c.door.status, c.door.err = 0, nil
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if f(ctx) == nil {
		return nil
	}
	status, broken := c.door.status, c.door.err
	answer := fmt.Sprintf("HTTP %d", status)
	switch {
	case errors.Is(broken, errTooLong):
		return c.fault(errAlien, fmt.Sprintf("over %d bytes", maxAnswer))
	case broken != nil || ctx.Err() != nil:
		return c.fault(ErrNoAnswer, c.door.why(broken))
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return c.fault(ErrNoAnswer, answer)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return c.fault(ErrOff, answer)
	case status == http.StatusNotFound:
		return errNotFound
	}
	return c.fault(errAlien, answer)
}

// Fault is what is wrong with IMDS. Its text is that of Err and the remedy.
type Fault struct {
	Err    error
	Remedy string
}

func (f *Fault) Error() string { return f.Err.Error() + ": " + f.Remedy }

// Unwrap returns what is wrong.
func (f *Fault) Unwrap() error { return f.Err }

var remedies = map[error]string{
	ErrNoAnswer: "in a pod set hostNetwork or raise the hop limit to 2",
	ErrOff:      "set its HttpEndpoint to enabled",
	errAlien:    "check AWS_EC2_METADATA_SERVICE_ENDPOINT",
}

func (c *client) fault(kind error, detail string) error {
	return &Fault{fmt.Errorf("%w (%s: %s)", kind, c.host, detail), remedies[kind] + ", or set identity.instance_id and identity.mode: static"}
}

// why says in a few words what broke the last request, without a word of the
// answer. The hop limit holds for answers to the request for a token alone, so
// that connections are made all the same (EC2 user guide, "Configure the Instance
// Metadata Service options").
func (d *door) why(err error) string {
	var errno syscall.Errno
	switch timeout := errors.Is(err, context.DeadlineExceeded); {
	case errors.As(err, &errno):
		return errno.Error()
	case timeout && !d.connected:
		return fmt.Sprintf("no connection within %s", callLimit)
	case timeout && d.token:
		return fmt.Sprintf("it takes the connection and sends no token within %s", callLimit)
	}
	return fmt.Sprintf("no HTTP within %s", callLimit)
}

// get returns the value under a path below meta-data, or "" if there is none.
func (c *client) get(ctx context.Context, path string) (string, error) {
	var value []byte
	err := c.call(ctx, func(ctx context.Context) error {
		out, err := c.api.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
		if err != nil {
			return err
		}
		value, err = io.ReadAll(out.Content)
		return err
	})
	if errors.Is(err, errNotFound) {
		return "", nil
	}
	return strings.TrimSpace(string(value)), err
}

// document asks for the instance's identity document, in one request besides the
// token.
func (c *client) document(ctx context.Context) (Host, error) {
	var d imds.InstanceIdentityDocument
	err := c.call(ctx, func(ctx context.Context) error {
		out, err := c.api.GetInstanceIdentityDocument(ctx, nil)
		if err == nil {
			d = out.InstanceIdentityDocument
		}
		return err
	})
	if errors.Is(err, errNotFound) {
		err = c.fault(errAlien, "HTTP 404")
	}
	return Host{
		InstanceID: d.InstanceID, InstanceType: d.InstanceType, Region: d.Region,
		Zone: d.AvailabilityZone, AccountID: d.AccountID, ImageID: d.ImageID,
	}, err
}

// describe asks for everything about the host, in three requests besides the
// token and one for each tag that is wanted. After an error, the host is what
// was known by then.
func (c *client) describe(ctx context.Context) (h Host, err error) {
	if h, err = c.document(ctx); err != nil {
		return h, err
	}
	if h.ZoneID, err = c.get(ctx, "placement/availability-zone-id"); err != nil {
		return h, err
	}
	list, err := c.get(ctx, "tags/instance")
	if err != nil {
		return h, err
	}
	keys := strings.Split(list, "\n")
	for _, tag := range []struct {
		key string
		to  *string
	}{
		{"aws:autoscaling:groupName", &h.AutoScalingGroup},
		{"eks:cluster-name", &h.Cluster},
		{"aws:eks:cluster-name", &h.Cluster},
		{"eks:eks-cluster-name", &h.Cluster}, // by EKS Auto Mode and Karpenter
		{"eks:nodegroup-name", &h.Nodegroup},
	} {
		if *tag.to != "" || !slices.Contains(keys, tag.key) {
			continue
		}
		if *tag.to, err = c.get(ctx, "tags/instance/"+tag.key); err != nil {
			return h, err
		}
	}
	return h, nil
}
