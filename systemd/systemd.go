// Package systemd holds what a host's service is made of, for packages and for
// enawatch service: the unit, its variables and its first configuration.
package systemd

import _ "embed" // the files below

// Unit is enawatch.service, as packages install it.
//
//go:embed enawatch.service
var Unit string

// Config is the enawatch.yaml that a host begins with.
//
//go:embed enawatch.yaml
var Config []byte

// Environment is the file of variables that a host begins with.
//
//go:embed env
var Environment []byte
