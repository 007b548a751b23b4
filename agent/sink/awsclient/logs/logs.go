// Package logs is a client of CloudWatch Logs for the operations that this
// program calls.
//
// The SDK's client builds tables of all of the service's operations when a
// program starts: 0.75 MB, in every agent, used or not.
package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// What CloudWatch Logs is called by the SDK's configuration, by hosts, by
// signatures and by requests.
var service = awsclient.Service{ID: "CloudWatch Logs", Host: "logs"}

const (
	signingName = "logs"
	target      = "Logs_20140328."
	mediaType   = "application/x-amz-json-1.1"
)

// maxAnswer bounds what is read of an answer, in bytes. The longest is a page of
// saved queries, of up to 10,000 characters each.
const maxAnswer = 16 << 20

// Client calls CloudWatch Logs in one region, by the protocol AWS JSON 1.1. It is
// not safe for concurrent use.
type Client struct {
	// Signer has the credentials of the newest call, and what is to send it.
	*awsclient.Signer

	url string
	// lost is why there is no url, or nil.
	lost      *sink.Error
	userAgent string
	// skew is how far the service's clock was ahead of this host's at its newest
	// answer. Signatures are of the service's time, as the SDK's are.
	skew time.Duration
}

// New returns a client with a configuration that owner has loaded. If endpoint is
// empty, the configuration says where the service is. Nothing is sent yet, and
// what is wrong with the endpoint or the region is an error of each call.
func New(ctx context.Context, owner *awsclient.Client, cfg aws.Config, endpoint string) *Client {
	c := &Client{Signer: owner.NewSigner(cfg, signingName), userAgent: "enawatch app/" + token(cfg.AppID)}
	c.url, c.lost = service.URL(ctx, cfg, endpoint)
	return c
}

// token returns s with each byte replaced that a product's name can't have in
// a header (RFC 9110).
func token(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) {
			return r
		}
		return '-'
	}, s)
}

// Call carries an operation out through x. in is its input, and out, which is nil
// for an operation without output, is filled in with what it returns.
//
// An error is for x to classify. It is an *Error if the service gave it.
func (c *Client) Call(ctx context.Context, x *awsclient.Exchange, operation string, in, out any) error {
	if c.lost != nil {
		return c.lost
	}
	body, err := encode(in)
	if err != nil {
		return fmt.Errorf("write the input of %s: %w", operation, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	r.GetBody = nil // it can't be sent again: another host would refuse the signature
	r.Header = http.Header{"Content-Type": {mediaType}, "X-Amz-Target": {target + operation}, "User-Agent": {c.userAgent}}
	if failure := c.Sign(ctx, r, body, time.Now().Add(c.skew)); failure != nil {
		return failure
	}
	resp, err := x.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if skew, ok := x.Skew(); ok {
		c.skew = skew
	}
	return read(resp, out)
}

// encode writes an input. Characters of HTML stay as they are: documents have
// quotation marks enough to escape.
func encode(in any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(in)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// read reads an answer.
func read(resp *http.Response, out any) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read an answer: %w", err)
	case len(text) > maxAnswer:
		return errors.New("read an answer: it is too long")
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return readError(resp.Header, text)
	case len(text) == 0:
		return nil // an operation without output
	}
	if out == nil {
		out = &struct{}{}
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	return nil
}
