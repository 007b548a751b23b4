package doctor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// What to do about a destination that does not answer depends on why. All that
// can be had for real is in the tests of the command: names that nobody has, and
// certificates of another protocol, are not.
func TestUnreached(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Err: "no such host", Name: "monitoring.eu-west-9.amazonaws.com", IsNotFound: true}, "look at the region, and at the VPC's DNS"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "it speaks no TLS"},
		{&net.OpError{Op: "dial", Err: errors.New("i/o timeout")}, "let this host reach its port"},
	} {
		if got := unreached(fmt.Errorf("send: %w", tt.err), &awsclient.Probe{Exchange: &awsclient.Exchange{}}); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%v: %s", tt.err, got)
		}
	}
}
