package awsclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/enawatch/enawatch/agent/sink"
)

// Signer signs requests to services that are called without the SDK's client for
// them (Signature Version 4), with the SDK's credential chain.
type Signer struct {
	// HTTP sends what was signed, and asks for credentials.
	HTTP HTTPClient
	// Credentials are those of the newest signature.
	Credentials aws.Credentials
	// Region is that of the service.
	Region string

	owner    *Client
	provider aws.CredentialsProvider
	service  string
	v4       *v4.Signer
}

// Signer puts the credential chain together for a service as signatures name it
// ("aps"); it fetches no credentials yet.
func (c *Client) Signer(ctx context.Context, service string) (*Signer, *sink.Error) {
	cfg, err := c.Load(ctx)
	if err != nil {
		return nil, err
	}
	return c.NewSigner(cfg, service), nil
}

// NewSigner is Signer with a configuration that c has loaded.
func (c *Client) NewSigner(cfg aws.Config, service string) *Signer {
	return &Signer{
		HTTP: cfg.HTTPClient, owner: c, provider: cfg.Credentials, Region: cfg.Region, service: service, v4: v4.NewSigner(),
	}
}

// Sign signs a request and its body as of a moment, which is the service's now.
func (s *Signer) Sign(ctx context.Context, r *http.Request, body []byte, at time.Time) *sink.Error {
	credentials, err := s.provider.Retrieve(ctx)
	if err != nil {
		return (&Exchange{Owner: s.owner, HTTP: s.HTTP}).ClassifyCredentials(err)
	}
	s.Credentials = credentials
	hash := sha256.Sum256(body)
	if err := s.v4.SignHTTP(ctx, credentials, r, hex.EncodeToString(hash[:]), s.service, s.Region, at); err != nil {
		return &sink.Error{Kind: sink.Credentials, Err: fail(err, "sign a request: %s", FirstLine(err.Error()))}
	}
	return nil
}

// Unanswered says what it means that no answer came.
func (x *Exchange) Unanswered(err error) *sink.Error {
	return &sink.Error{
		Ambiguous: x.sent.Load(), Remedy: remedyOf(err),
		Err: fail(err, "send to %s: %s", x.host, cause(err)),
	}
}

// Status is that of the answer, 0 without one.
func (x *Exchange) Status() int { return x.status }

// Text makes one line of bounded length of what an answer says, without the
// secrets given.
func Text(body []byte, secrets ...string) string {
	return FirstLine(redact(string(body), secrets...))
}
