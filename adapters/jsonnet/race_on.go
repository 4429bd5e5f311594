//go:build race

package jsonnet

// shadow is how many bytes a byte of memory takes: the race detector keeps a shadow of all.
const shadow = 8
