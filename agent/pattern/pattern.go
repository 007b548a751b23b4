// Package pattern has regular expressions that are compiled when they are first
// used: what the rules of a command that never runs would hold, an agent that
// runs for years does not.
package pattern

import (
	"regexp"
	"sync"
)

// New returns what compiles the expression at its first call and returns it at
// each. It panics at that call if the expression has a fault.
//
// A bounded repeat ({1,512}) is compiled to as many copies: bound the length of
// the text instead.
func New(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
