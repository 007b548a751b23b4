package pods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
)

// assignment is an address that the VPC CNI plugin gave to a pod.
type assignment struct {
	pod     string // "namespace/name"
	address netip.Addr
	eni     string
}

// maxAnswer bounds the endpoint's answer, in bytes. The largest instances hold
// some 750 addresses, of about 400 bytes each.
const maxAnswer = 4 << 20

// introspection is the VPC CNI's endpoint, which listens on this host's loopback
// (amazon-vpc-cni-k8s, pkg/ipamd/introspect.go).
type introspection struct {
	client *http.Client
	url    string
}

func newIntrospection(address string) introspection {
	network, host := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address, host = "unix", path, "cni"
	}
	dialer := net.Dialer{}
	return introspection{
		url: "http://" + host + "/v1/enis",
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{ // no proxy
				DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return dialer.DialContext(ctx, network, address)
				},
			},
		},
	}
}

// ask returns every address that a pod has. The error is one line and names a
// remedy.
func (i introspection) ask(ctx context.Context) ([]assignment, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url, nil)
	if err != nil {
		return nil, fmt.Errorf("kubernetes.introspection is no address: %w", err)
	}
	resp, err := i.client.Do(r)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nothing listens at %s: set the variable DISABLE_INTROSPECTION of the DaemonSet aws-node to false, and hostNetwork for this pod", i.url)
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", i.url, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: HTTP %d: is it the VPC CNI's introspection?", i.url, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", i.url, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("ask %s: the answer is longer than %d MiB", i.url, maxAnswer>>20)
	}
	list, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", i.url, err)
	}
	return list, nil
}

// datastore is what the endpoint says of one network card.
type datastore struct {
	ENIs map[string]struct {
		AvailableIPv4Cidrs, IPv6Cidrs map[string]cidr
	}
}

// cidr is an address of an ENI, or a prefix with those of its addresses that are
// or were in use.
type cidr struct {
	IPAddresses map[string]struct {
		Address      string
		IPAMMetadata struct {
			Namespace string `json:"k8sPodNamespace"`
			Name      string `json:"k8sPodName"`
		}
	}
}

// parse understands the answers of all versions: one datastore, or from 1.20 on a
// map of them by network card. Addresses without a pod's name are free, or were
// assigned before version 1.10, which wrote no names down.
func parse(body []byte) ([]assignment, error) {
	var single datastore
	var cards map[string]datastore
	if err := json.Unmarshal(body, &single); err != nil {
		return nil, fmt.Errorf("the answer is not the VPC CNI's: %w", err)
	}
	if single.ENIs != nil {
		cards = map[string]datastore{"0": single}
	} else if err := json.Unmarshal(body, &cards); err != nil {
		return nil, fmt.Errorf("the answer is not the VPC CNI's: %w", err)
	}
	var list []assignment
	for _, card := range cards {
		for id, eni := range card.ENIs {
			for _, cidrs := range []map[string]cidr{eni.AvailableIPv4Cidrs, eni.IPv6Cidrs} {
				list = appendAssigned(list, id, cidrs)
			}
		}
	}
	return list, nil
}

// appendAssigned appends the addresses of an ENI that pods have. What can't be a
// pod's name is left out: names go into logs and documents.
func appendAssigned(list []assignment, eni string, cidrs map[string]cidr) []assignment {
	for _, c := range cidrs {
		for _, a := range c.IPAddresses {
			address, err := netip.ParseAddr(a.Address)
			if err != nil || !validName(a.IPAMMetadata.Namespace) || !validName(a.IPAMMetadata.Name) {
				continue
			}
			list = append(list, assignment{a.IPAMMetadata.Namespace + "/" + a.IPAMMetadata.Name, address, eni})
		}
	}
	return list
}

// validName holds for what Kubernetes takes as a name: 1 to 253 lower-case
// letters, digits, dashes and dots (RFC 1123 subdomain).
func validName(s string) bool {
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}
