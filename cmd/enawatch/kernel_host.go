//go:build !footprint

package main

import (
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
)

// hostKernel returns the kernel that this process runs on.
func hostKernel() (ena.Kernel, error) { return ena.NewKernel() }

// remember is for measurements. An agent begins with an empty history.
func remember(*live.History, ena.Kernel) {}
