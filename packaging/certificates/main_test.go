package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"
)

// Endpoints of AWS have certificates of Amazon's own authorities; those of old
// chains end at Starfield's.
func TestAmazonIsTrusted(t *testing.T) {
	var text bytes.Buffer
	if err := write(&text); err != nil {
		t.Fatal(err)
	}
	var names []string
	for rest := text.Bytes(); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.Subject.CommonName)
	}
	for _, want := range []string{
		"Amazon Root CA 1", "Amazon Root CA 2", "Amazon Root CA 3", "Amazon Root CA 4",
		"Starfield Services Root Certificate Authority - G2",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%q is not among the %d authorities", want, len(names))
		}
	}
}
