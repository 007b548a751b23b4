//go:build !footprint

package main

import "github.com/enawatch/enawatch/agent/ena"

// hostKernel returns the kernel that this process runs on.
func hostKernel() (ena.Kernel, error) { return ena.NewKernel() }
